"""infra/setup says what is missing and how to get it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from infra.debian import repository_root

SETUP = repository_root() / "infra" / "setup"


def run_setup(python: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SETUP],
        env={**os.environ, "PYTHON": python},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def test_a_python_that_is_not_there_is_named_with_the_remedy() -> None:
    result = run_setup("/nowhere/python")
    assert result.returncode == 78
    assert "no /nowhere/python" in result.stderr
    assert "apt-get install python3" in result.stderr


def test_a_python_that_is_too_old_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = run_setup(str(old))
    assert result.returncode == 78
    assert "3.10 or newer" in result.stderr
