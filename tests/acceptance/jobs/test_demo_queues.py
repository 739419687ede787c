"""The demo's job over the queue that the site keeps, and over a Redis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

LIMIT_S = 400


@pytest.mark.long
@pytest.mark.parametrize("queue", ["site", "redis"])
def test_one_job_and_each_name_that_it_had(tmp_path: Path, queue: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.demos.job", "--exit", "--queue", queue, "--out", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything passed." in done.stdout
    for state in ("claimed", "result", "done"):
        assert f"queue: {state} " in done.stdout
    secrets = [log.read_text() for log in (tmp_path / "logs").glob("*.log")]
    assert "sgr_" not in "".join((done.stdout, *secrets))
