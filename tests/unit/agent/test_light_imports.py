"""The agent process must start fast and run where numpy does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.paths import ROOT

HEAVY = (
    *("numpy", "torch", "monai", "pydicom", "highdicom", "SimpleITK", "scipy", "django"),
    "segrelay.voxels",
)


@pytest.mark.parametrize(
    "module",
    [
        "lab_side.cli",
        "lab_side.agent.build",
        "lab_side.agent.by_hand.manual",
        "lab_side.importing.run",
        "lab_side.progress",
    ],
)
@pytest.mark.process
def test_the_light_process_imports_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"


@pytest.mark.process
def test_common_but_for_the_room_of_voxels_imports_neither_django_nor_numpy() -> None:
    modules = [
        ".".join(path.relative_to(ROOT / "common").with_suffix("").parts)
        for path in (ROOT / "common").rglob("*.py")
        if path.name != "__init__.py" and "voxels" not in path.parts
    ]
    code = (
        f"import importlib, sys\nfor m in {modules!r}: importlib.import_module(m)\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"
