"""The memory that a process of the site takes for eight requests at once: its peak, measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.support.paths import ROOT

VOLUME_BYTES = 250 * 512 * 512 * 2
MEBIBYTE = 1024 * 1024


def measured(kind: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.site.site_memory", kind],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_seg_that_declares_more_than_it_has_costs_nothing() -> None:
    found = measured("bomb")
    assert {status for status, _ in found["answers"]} == {400}
    assert found["peak"] - found["start"] < 32


@pytest.mark.long
def test_a_volume_without_compression_is_held_once() -> None:
    found = measured("volume")
    assert set(map(tuple, found["answers"])) == {(200, VOLUME_BYTES)}
    # While it is put together: the voxels, and what is made of them; noise does not get smaller.
    assert found["one"] - found["start"] < 3.5 * VOLUME_BYTES / MEBIBYTE
    assert found["peak"] - found["one"] < 32
