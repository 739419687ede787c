"""Which names a job's objects had while it ran, and when, by the store's clock.

The name is the state: frequent listings of the queue show the job move.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from infra.servers.site_and_agent import DemoError
from segrelay import names
from segrelay.bucket import Bucket

LOOK_S = 0.2
"""Between two listings; a job stays claimed for seconds, and a listing takes milliseconds."""

ARCHIVE_LIMIT_S = 60.0
"""From result to archive: one request of the agent."""

_STATES = {
    names.PENDING: "pending",
    names.CLAIMED: "claimed",
    names.RESULTS: "result",
    names.DONE: "done",
    names.FAILED: "failed",
    names.REJECTED: "rejected",
}
_ARCHIVES = {"done", "failed", "rejected"}


@dataclass(frozen=True)
class QueueStep:
    """One name that the job had."""

    state: str
    """``pending``, ``claimed``, ``result``, ``done``, ``failed`` or ``rejected``."""
    name: str
    """Object name below the queue's root."""
    seconds: float
    """Since the job was first seen."""


class QueueWatch:
    """Lists a queue again and again, and remembers what it saw."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._seen: dict[str, datetime] = {}

    def look(self) -> None:
        """List the queue once; raises StoreUnavailableError."""
        for info in self._bucket.list(f"{names.VERSION}/"):
            self._seen.setdefault(info.name, info.updated)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look every :data:`LOOK_S` seconds while the block runs.

        Raises
        ------
        StoreUnavailableError
            After the block: the queue could not be listed.
        """
        ended = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(self._look_until, ended)
            try:
                yield
            finally:
                ended.set()
        looking.result()

    def trail(self, job_id: str) -> tuple[QueueStep, ...]:
        """The names of a job that has a result, in the order in which it got them.

        Raises
        ------
        DemoError
            It was not archived within :data:`ARCHIVE_LIMIT_S`.
        """
        deadline = time.monotonic() + ARCHIVE_LIMIT_S
        while not _ARCHIVES & {step.state for step in self._steps(job_id)}:
            if time.monotonic() > deadline:
                raise DemoError(f"The job {job_id} has a result but was not archived.")
            time.sleep(LOOK_S)
            self.look()
        return tuple(self._steps(job_id))

    def _look_until(self, ended: threading.Event) -> None:
        while not ended.wait(LOOK_S):
            self.look()

    def _steps(self, job_id: str) -> Iterator[QueueStep]:
        states = {name: _state(name) for name in self._seen if job_id in name}
        times = {name: self._seen[name] for name, state in states.items() if state}
        for name in sorted(times, key=times.__getitem__):
            since = times[name] - min(times.values())
            yield QueueStep(states[name], name, since.total_seconds())


def _state(name: str) -> str:
    """What an object's name says of its job; empty where nothing, as for progress."""
    return next((state for prefix, state in _STATES.items() if name.startswith(prefix)), "")
