"""The project's own tests, run by the Python of Windows."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Tell
from tests.support.lab.windows import Windows

pytestmark = pytest.mark.long

UNIT_TESTS = (
    "tests/unit/common/bucket/test_folder_lock.py",
    "tests/unit/common/bucket/test_local_bucket.py",
    "tests/unit/common/test_names.py",
    "tests/unit/common/queue/test_queue.py",
    "tests/unit/common/queue/test_queue_crashes.py",
    "tests/unit/common/queue/test_queue_operator.py",
    "tests/unit/common/system/test_sharing_violation.py",
    "tests/unit/lab_commands/test_cli_outbox.py",
    "tests/unit/lab_commands/test_cli_queue.py",
    "tests/unit/lab_commands/test_cli_status.py",
    "tests/unit/agent/health/test_control.py",
    "tests/unit/agent/health/test_heartbeat.py",
    "tests/unit/lab/test_log.py",
    "tests/unit/agent/test_outbox.py",
    "tests/unit/agent/test_delivery_queue.py",
    "tests/unit/lab/test_worker_client.py",
)
"""Of what touches names, locks, files, processes and clocks, and needs no numpy."""


def test_queue_files_and_processes_on_windows(windows: Windows, tell: Tell) -> None:
    _run(windows, tell, *UNIT_TESTS)


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
