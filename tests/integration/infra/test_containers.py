"""The hospital's containers by a real docker engine; minutes, and only where root can run one."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from infra.containers.engine import hindrance
from infra.containers.trial import QUESTIONS
from tests.support.paths import ROOT

LIMIT_S = 3600


@pytest.mark.long
def test_every_answer_of_the_containers_is_right() -> None:
    if (reason := hindrance()) is not None:
        pytest.skip(reason)
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not installed, which makes roots for the images of others")
    done = subprocess.run(
        [sys.executable, "-m", "infra.containers"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(QUESTIONS)} of {len(QUESTIONS)} right" in done.stdout
