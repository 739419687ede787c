"""huey's storages, in SQLite and in Redis, without its consumer and its pickles."""

from __future__ import annotations

from typing import Any

from infra.benches.queue.contender import JOB, RESULT, Contender


class HueyStorage(Contender):
    """What huey does with a storage of either kind."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._finished = 0

    def submit(self) -> None:
        self._storage.enqueue(JOB.encode())

    def claim(self) -> None:
        """The job is gone from the queue from here on."""
        if self._storage.dequeue() is None:
            raise RuntimeError("no job waits")

    def finish(self) -> None:
        """There is nothing to acknowledge."""
        self._finished += 1
        self._storage.put_data(str(self._finished), RESULT.encode(), is_result=True)
