"""What the service manager hears from a real agent: ready, alive, also without a network, stops."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.fake_gcs import Fault, FaultKind
from infra.servers.orthanc import OrthancServer
from lab_side.service.notify import VARIABLE
from tests.support.lab.fast_lab import DEADLINE, events, open_fast_lab
from tests.support.servers.orthanc import orthanc as orthanc

EVER = 10**6


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, path: Path) -> None:
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(str(path))
        self._line.settimeout(DEADLINE)

    def wait_for(self, word: str, also: Callable[[], bool] = lambda: True) -> list[str]:
        """Every message up to one that has the word, while something else holds."""
        heard: list[str] = []
        limit = time.monotonic() + DEADLINE
        while not (heard and word in heard[-1] and also()):
            assert time.monotonic() < limit, heard[-5:]
            heard.append(self._line.recv(4096).decode())
        return heard

    def close(self) -> None:
        self._line.close()


def test_the_watchdog_is_fed_also_while_the_network_is_down(
    orthanc: OrthancServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Manager(tmp_path / "notify")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "notify"))
    with open_fast_lab(orthanc, tmp_path / "lab", "gcs") as lab:
        lab.start()
        before = manager.wait_for("READY=1")
        assert not any("WATCHDOG=1" in message for message in before), "not before it is ready"
        manager.wait_for("WATCHDOG=1")
        assert lab.queue.fake is not None
        lab.queue.fake.faults.add(Fault(kind=FaultKind.DROP_BEFORE, times=EVER))
        lab.wait_for(
            lambda: any(item["event"] == "heartbeat failed" for item in events(lab)),
            "none succeeds",
        )
        for _ in range(3):
            manager.wait_for("WATCHDOG=1")
        assert lab.agents["lab-1"].poll() is None
        lab.queue.fake.faults.clear()
        job = lab.submit()
        lab.wait_until_settled()
        assert set(lab.results()) == {job.job_id}
        lab.agents["lab-1"].send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert lab.agents["lab-1"].wait(DEADLINE) == 0
    manager.close()
