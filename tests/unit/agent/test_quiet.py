"""No library speaks on standard error, unless --verbose is given; what is shown holds no secret."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab_side.worker.log import pass_on

SECRET = "hunter2-of-orthanc"


def agent(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if "SEGRELAY" not in key}
    environment |= {
        "SEGRELAY_CONFIG": "",
        "SEGRELAY_WORK_DIR": str(home),
        "SEGRELAY_ORTHANC_URL": "http://127.0.0.1:9",
        "SEGRELAY_ORTHANC_USER": "lab",
        "SEGRELAY_ORTHANC_PASSWORD": SECRET,
    }
    return subprocess.run(
        [sys.executable, "-m", "lab_side.cli", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.process
def test_each_try_of_a_repeated_request_is_shown_with_verbose_alone(
    tmp_path: Path, verbose: bool
) -> None:
    ids = [f"{number:08x}-" * 4 + f"{number:08x}" for number in range(1, 5)]
    words = ["segment", "--series-ids", *ids, *(["--verbose"] if verbose else [])]
    done = agent(tmp_path, *words)
    assert done.returncode == 75
    assert ("Retrying" in done.stderr) is verbose
    assert "error: Orthanc did not answer (connection refused)." in done.stderr
    assert SECRET not in done.stderr
    if not verbose:
        assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("line", "is_shown"),
    [
        ("[W NNPACK.cpp:61] Could not initialize NNPACK! Reason: Unsupported hardware.\n", False),
        ("[W1130 08:00:00.1 socket.cpp:1] warning\n", False),
        ("terminate called after throwing an instance of 'c10::Error'\n", True),
        ('  File "/lab/worker/server.py", line 3 in main\n', True),
    ],
)
def test_warnings_of_pytorchs_other_half_are_left_out(
    line: str, is_shown: bool, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "lines"
    path.write_text(line)
    with path.open() as pipe:
        pass_on(pipe, threading.Event())
    assert (line in capfd.readouterr().err) is is_shown
