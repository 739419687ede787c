"""jqueue as a contender: the whole queue is one JSON object, read and written again by each step.

====================  =========================================================================
``jqueue``            its file, by its own calls; never flushed, written in place
``jqueue-flushed``    the same, each write flushed: a storage of one's own, as its README provides
``jqueue-gcs``        one object of a cloud bucket
====================  =========================================================================

It keeps no results: these go into a second queue of the same kind, as with every queue without a
place for them. It asks for Python 3.12 and runs on 3.11. Imported only where it is installed, in a
venv of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from infra.benches.queue.contender import JOB, RESULT, Contender

T = TypeVar("T")


class Jqueue(Contender):
    """Its broker, by storages of jobs and of results."""

    def __init__(self, jobs: Any, results: Any) -> None:
        from jqueue import BrokerQueue  # type: ignore[import-not-found]

        self._loop = asyncio.new_event_loop()
        self._jobs, self._results = BrokerQueue(jobs), BrokerQueue(results)
        self._run(self._jobs.__aenter__())
        self._run(self._results.__aenter__())
        self._in_hand: Any = None

    def submit(self) -> None:
        self._run(self._jobs.enqueue("segment", JOB.encode()))

    def claim(self) -> None:
        (self._in_hand,) = self._run(self._jobs.dequeue("segment"))

    def finish(self) -> None:
        """Jobs that are acknowledged leave nothing behind."""
        self._run(self._results.enqueue("result", RESULT.encode()))
        self._run(self._jobs.ack(self._in_hand.id))

    def _run(self, call: Awaitable[T]) -> T:
        return self._loop.run_until_complete(call)


def in_files(place: str, *, flushed: bool = False) -> Contender:
    """Jobs and results in a file each, below the folder ``place``."""
    from jqueue import LocalFileSystemStorage

    class Flushed(LocalFileSystemStorage):  # type: ignore[misc]
        def _sync_write(self, content: bytes, if_match: str | None) -> str:
            tag: str = super()._sync_write(content, if_match)
            file = os.open(self.path, os.O_RDONLY)
            os.fsync(file)
            os.close(file)
            return tag

    kind = Flushed if flushed else LocalFileSystemStorage
    folder = Path(place)
    return Jqueue(kind(folder / "jobs.json"), kind(folder / "results.json"))


def in_bucket(place: str) -> Contender:
    """Jobs and results in an object each, of the bucket of ``gs://bucket/prefix``."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage  # type: ignore[import-untyped]
    from jqueue.adapters.storage.gcs import GCSStorage  # type: ignore[import-not-found]

    client = storage.Client(project="bench", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    bucket, _, prefix = place.removeprefix("gs://").partition("/")
    return Jqueue(
        GCSStorage(bucket, f"{prefix}/jobs.json", client),
        GCSStorage(bucket, f"{prefix}/results.json", client),
    )


JQUEUES: dict[str, Callable[[str], Contender]] = {
    "jqueue": in_files,
    "jqueue-flushed": partial(in_files, flushed=True),
    "jqueue-gcs": in_bucket,
}
"""By the names under which they take part."""
