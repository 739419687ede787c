"""infra/setup says what is missing and how to get it, before anything is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from infra.packages.debian import repository_root

ROOT = repository_root()
SETUP = ROOT / "infra" / "setup"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LANGUAGE = "Programming Language :: Python :: "
PROMISED = [
    item.removeprefix(LANGUAGE)
    for item in PROJECT["project"]["classifiers"]
    if item.startswith(LANGUAGE)
]
"""Oldest first."""


def run_setup(script: Path = SETUP, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("bash") or "/bin/bash", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def interpreter(path: Path, version: str) -> Path:
    """A program that says it is this version, and that can make no virtual environment."""
    path.write_text(f"#!/bin/sh\necho {version}\ncase $* in *ensurepip*) exit 1;; esac\n")
    path.chmod(0o755)
    return path


@pytest.mark.process
def test_a_python_that_is_not_there_is_named_with_the_remedy() -> None:
    result = run_setup(PYTHON="/nowhere/python")
    assert result.returncode == 78
    assert "no /nowhere/python" in result.stderr
    assert "apt-get install python3" in result.stderr


def next_version(version: str) -> str:
    major, minor = map(int, version.split("."))
    return f"{major}.{minor + 1}"


@pytest.mark.parametrize("version", ["2.7", "3.1", "3.10", next_version(PROMISED[-1]), "4.0"])
@pytest.mark.process
def test_a_python_too_old_or_too_new_is_refused_with_those_that_fit(
    tmp_path: Path, version: str
) -> None:
    result = run_setup(PYTHON=str(interpreter(tmp_path / "python", version)))
    assert result.returncode == 78
    said, remedy = result.stderr.splitlines()
    assert f"is Python {version}; needed is one of {' '.join(PROMISED)}." in said
    assert f"PYTHON=python{PROMISED[-1]} infra/setup" in remedy


@pytest.mark.process
def test_what_is_no_python_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    result = run_setup(PYTHON=str(path))
    assert result.returncode == 78
    assert "is Python ?; needed is one of" in result.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder without .venv."""
    (tmp_path / "project" / "infra").mkdir(parents=True)
    shutil.copy(SETUP, tmp_path / "project" / "infra")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """What setup finds, with a python3 that is too old."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for program in ("bash", "dirname", "sed", "tr", "sort", "paste", "tail"):
        (folder / program).symlink_to(Path(shutil.which(program) or program).resolve())
    (folder / "id").write_text("#!/bin/sh\necho 1000\n")
    (folder / "id").chmod(0o755)
    interpreter(folder / "python3", "3.10")
    return folder


def chosen_by(project: Path, programs: Path) -> str:
    """The interpreter, which is named by what it lacks."""
    result = run_setup(project / "infra" / "setup", PATH=str(programs), PYTHON="")
    assert result.returncode == 78
    found = re.search(r"setup: (\S+) cannot make virtual environments", result.stderr)
    assert found, result.stderr
    return found[1]


@pytest.mark.parametrize("version", PROMISED)
@pytest.mark.process
def test_an_older_python3_gives_way_to_one_that_fits(
    project: Path, programs: Path, version: str
) -> None:
    interpreter(programs / f"python{version}", version)
    assert chosen_by(project, programs) == f"python{version}"


@pytest.mark.parametrize("version", ["3.10", *PROMISED])
@pytest.mark.process
def test_an_environment_keeps_the_python_that_it_was_made_with(
    project: Path, programs: Path, version: str
) -> None:
    """Unless that does not fit any more."""
    interpreter(programs / f"python{PROMISED[0]}", PROMISED[0])
    own = interpreter(programs / "own", version)
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").write_text(f"#!/bin/sh\necho {own}\n")
    (project / ".venv" / "bin" / "python").chmod(0o755)
    expected = str(own) if version in PROMISED else f"python{PROMISED[0]}"
    assert chosen_by(project, programs) == expected


def test_every_place_promises_the_same_versions() -> None:
    oldest, newest = PROMISED[0], PROMISED[-1]
    assert sorted(PROMISED, key=lambda version: int(version.split(".")[1])) == PROMISED
    assert PROJECT["project"]["requires-python"] == f">={oldest},<{next_version(newest)}"
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert "target-version" not in PROJECT["tool"]["ruff"], "ruff reads requires-python"
    dockerfile = (ROOT / "infra" / "compose" / "site.Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^FROM python:(\S+)-slim", dockerfile, re.MULTILINE)[1] in PROMISED  # type: ignore[index]
    installer = (ROOT / "infra" / "windows" / "install.ps1").read_text(encoding="utf-8")
    bounds = (
        f"({oldest.replace('.', ', ')}) <= sys.version_info[:2] <= ({newest.replace('.', ', ')})"
    )
    assert bounds in installer
    assert f"Install Python {newest}" in installer
    for readme, words in (("README.md", "Python {} to {}"), ("README.ko.md", "Python {}~{}")):
        promise = words.format(oldest, newest)
        texts = [
            (folder / readme).read_text(encoding="utf-8") for folder in (ROOT, ROOT / "lab_side")
        ]
        assert [text.count(promise) for text in texts] == [2, 1], promise
        assert all("3.10 " not in re.sub(r"PS3\.10", "", text) for text in texts)


def test_what_a_worker_imports_for_its_first_job_is_compiled_at_the_setup() -> None:
    imported = re.findall(
        r"^import (lab_side\S+)$", SETUP.read_text(encoding="utf-8"), re.MULTILINE
    )
    worker = (ROOT / "lab_side" / "worker" / "server.py").read_text(encoding="utf-8")
    parts = {"lab_side.models.loaded", "lab_side.imaging.warm_up", "lab_side.imaging.pipeline"}
    assert set(imported) == {*parts, "lab_side.cli"}
    assert all(f"    from {part} import " in worker for part in parts)


@pytest.mark.parametrize("script", ["setup", "demo", "bench", "test"])
def test_modules_stay_compiled_whatever_the_environment_says(script: str) -> None:
    lines = (ROOT / "infra" / script).read_text(encoding="utf-8").splitlines()
    assert "unset PYTHONDONTWRITEBYTECODE" in lines
