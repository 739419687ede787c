"""What the scripts need beside Python's packages: said first, with the command that gets it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.benches.__main__ import NAMES
from infra.packages import programs
from infra.packages.debian import repository_root
from infra.packages.programs import SIGNS

ROOT = repository_root()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A computer without any of them, and its folder of programs."""
    monkeypatch.setattr(programs, "SIGNS", {"browser": str(tmp_path / "browser"), "tool": "tool"})
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_what_is_here_is_not_asked_for(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("browser", "tool"):
        (bare / name).touch(mode=0o755)
    assert programs.main(["browser", "tool"]) == 0
    assert capsys.readouterr().err == ""


def test_what_is_missing_is_named_with_the_command_that_installs_it(
    bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bare / "tool").touch(mode=0o755)
    assert programs.main(["browser", "tool"]) == 78
    said = capsys.readouterr().err
    assert said == (
        "missing here: browser. Run: sudo apt-get update && sudo apt-get install browser\n"
    )


@pytest.mark.parametrize("comes", [True, False])
@pytest.mark.process
def test_root_gets_it_from_apt(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], comes: bool
) -> None:
    made = f"touch {bare / 'browser'}" if comes else "false"
    apt = f'#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >> {bare / "asked"}\nPATH=/usr/bin:/bin {made}\n'
    (bare / "apt-get").write_text(apt)
    (bare / "apt-get").chmod(0o755)
    (bare / "tool").touch(mode=0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert programs.main(["browser", "tool"]) == (0 if comes else 78)
    update, install = (bare / "asked").read_text().splitlines()
    assert update.endswith(" update")
    assert install.endswith("install -y --no-install-recommends browser")
    assert install.startswith("noninteractive ")
    assert ("missing here: browser" in capsys.readouterr().err) is not comes


def test_a_package_that_is_not_known_here_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert programs.main(["chromiun"]) == 2
    assert f"there are: {' '.join(SIGNS)}" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["bench", "test"])
def test_the_scripts_ask_for_known_packages(script: str) -> None:
    text = (ROOT / "infra" / script).read_text(encoding="utf-8")
    calls = re.findall(r"infra\.packages\.programs ([a-z -]*[a-z])", text)
    asked = {word for call in calls for word in call.split()}
    assert asked
    assert asked <= SIGNS.keys()


def run_script(*words: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("bash") or "/bin/bash", ROOT / "infra" / words[0], *words[1:]],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


@pytest.fixture
def nothing_installed(tmp_path: Path) -> str:
    """A search path with a Python, and no more than a shell needs; a set-up would end with 127."""
    (tmp_path / "python3").symlink_to(sys.executable)
    for program in ("dirname",):
        (tmp_path / program).symlink_to(Path(shutil.which(program) or program).resolve())
    return str(tmp_path)


@pytest.mark.process
def test_a_slip_in_the_demos_options_is_told_before_anything_is_installed(
    nothing_installed: str,
) -> None:
    result = run_script("demo", "--studi", "7", path=nothing_installed)
    assert (result.returncode, result.stdout) == (2, "")
    assert "there is no option --studi; did you mean --study?" in result.stderr
    result = run_script("demo", "--exit", "--help", path=nothing_installed)
    assert result.returncode == 0
    assert "--send STUDY" in result.stdout


@pytest.mark.process
def test_a_bench_that_there_is_not_is_told_before_anything_is_installed(
    nothing_installed: str,
) -> None:
    result = run_script("bench", "wbe", path=nothing_installed)
    assert (result.returncode, result.stdout) == (2, "")
    assert "did you mean web?" in result.stderr
    assert run_script("bench", "--help", path=nothing_installed).returncode == 0


def test_the_script_knows_every_bench() -> None:
    text = (ROOT / "infra" / "bench").read_text(encoding="utf-8")
    named = {word for line in text.splitlines() for word in line.partition(")")[0].split(" | ")}
    assert {word.strip() for word in named} >= set(NAMES)
