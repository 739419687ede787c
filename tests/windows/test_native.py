"""The project's own tests, run by the Python of Windows."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Tell
from tests.support.windows import Windows

pytestmark = pytest.mark.long

UNIT_TESTS = (
    "common/test_folder_lock.py",
    "common/test_local_bucket.py",
    "common/test_names.py",
    "common/test_queue.py",
    "common/test_queue_crashes.py",
    "common/test_queue_operator.py",
    "common/test_sharing.py",
    "agent/test_cli_outbox.py",
    "agent/test_cli_queue.py",
    "agent/test_cli_status.py",
    "agent/test_control.py",
    "agent/test_heartbeat.py",
    "agent/test_log.py",
    "agent/test_outbox.py",
    "agent/test_rounds.py",
    "agent/test_worker_client.py",
)
"""Of what touches names, locks, files, processes and clocks, and needs no numpy."""


def test_queue_files_and_processes_on_windows(windows: Windows, tell: Tell) -> None:
    _run(windows, tell, *(f"tests/unit/{name}" for name in UNIT_TESTS))


def test_what_only_windows_refuses(windows: Windows, tell: Tell) -> None:
    _run(windows, tell, "tests/windows/native")


def _run(windows: Windows, tell: Tell, *paths: str) -> None:
    # The project's own settings of pytest name plugins for Django, which is not there.
    options = ("-c", "tests/windows/native.ini", "--rootdir", ".", "-q", "-rs", "--tb=short")
    done = windows.run("-m", "pytest", *options, *paths, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
    closing = done.stdout.strip().splitlines()[-1]
    assert re.match(r"\d+ passed", closing), closing
    tell(f"on Windows: {closing}")
