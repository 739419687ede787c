"""fake-gcs-server, an emulator by others, for a second opinion where it is installed.

Its Python package carries the program; name it with FAKE_GCS_SERVER, or have it in PATH.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest
import requests

from infra.servers.ports import free_port
from infra.servers.processes import stop_process

START_LIMIT_S = 20.0


@contextlib.contextmanager
def other_emulator(bucket: str) -> Iterator[str]:
    """Its address, with an empty bucket; skips the test where the program is missing."""
    program = os.environ.get("FAKE_GCS_SERVER") or shutil.which("fake-gcs-server")
    if program is None:
        pytest.skip("fake-gcs-server is not here: set FAKE_GCS_SERVER to the program")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    process = subprocess.Popen(
        [program, *options, "-public-host", f"127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(url)
        made = requests.post(f"{url}/storage/v1/b", json={"name": bucket}, timeout=10)
        made.raise_for_status()
        yield url
    finally:
        stop_process(process)


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"{url}/storage/v1/b", timeout=5)
            return
        time.sleep(0.05)
    raise AssertionError("fake-gcs-server did not start")
