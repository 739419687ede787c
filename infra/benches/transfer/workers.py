"""The contenders' processes; each brings or sends something when it is told to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from infra.benches.child import Child
from infra.benches.transfer.tasks import Errand, Found, Parcel, Run

PEERS = ("pyorthanc", "orthanc-api-client", "dicomweb-client")
"""Contenders that live in the peers' venv."""


class Mover:
    """One contender in a process of its own."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._child = Child(kind, "infra.benches.transfer.worker", [kind], peer=kind in PEERS)

    def download(self, errand: Errand) -> tuple[Run, list[tuple[str, Found]]]:
        """Bring the series; with each instance's SOP Instance UID and what came of it."""
        answer = self._child.ask({"do": "download", **errand})
        return Run(*answer["run"]), [(uid, Found(*found)) for uid, found in answer["found"]]

    def upload(self, parcel: Parcel) -> Run:
        """Send the file."""
        return Run(*self._child.ask({"do": "upload", **parcel})["run"])

    def close(self) -> None:
        """End the process."""
        self._child.close()


@contextlib.contextmanager
def movers(kinds: Sequence[str]) -> Iterator[dict[str, Mover]]:
    """One of each kind; ended with the block."""
    with contextlib.ExitStack() as stack:
        crew = {}
        for kind in kinds:
            crew[kind] = Mover(kind)
            stack.callback(crew[kind].close)
        yield crew
