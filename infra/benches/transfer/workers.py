"""The contenders' processes; each downloads or uploads on request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from infra.benches.child import Child
from infra.benches.transfer.tasks import DownloadTask, Found, Run, UploadTask

PEERS = ("pyorthanc", "orthanc-api-client", "dicomweb-client")
"""Contenders that live in the peers' venv."""


class Worker:
    """One contender in a process of its own."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._child = Child(kind, "infra.benches.transfer.worker", [kind], peer=kind in PEERS)

    def download(self, task: DownloadTask) -> tuple[Run, list[tuple[str, Found]]]:
        """Bring the series; with each instance's SOP Instance UID and what came of it."""
        answer = self._child.ask({"do": "download", **task})
        return Run(*answer["run"]), [(uid, Found(*found)) for uid, found in answer["found"]]

    def upload(self, task: UploadTask) -> Run:
        """Send the file."""
        return Run(*self._child.ask({"do": "upload", **task})["run"])

    def close(self) -> None:
        """End the process."""
        self._child.close()


@contextlib.contextmanager
def started_workers(kinds: Sequence[str]) -> Iterator[dict[str, Worker]]:
    """One of each kind; ended with the block."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for kind in kinds:
            workers[kind] = Worker(kind)
            stack.callback(workers[kind].close)
        yield workers
