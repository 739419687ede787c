"""Other job queues from PyPI as contenders, each with its own documented calls.

Which of them flushes was looked up in their sources and counted with strace:

===================  ==========================================================================
persist-queue        ``SQLiteAckQueue``, defaults: WAL with SQLite's ``synchronous=FULL``, one
                     fdatasync a commit; get, result and ack are a commit each
litequeue            defaults: WAL with ``synchronous=NORMAL``: commits are flushed only at
                     checkpoints, so a power cut loses the last of them
litequeue, FULL      the same with ``PRAGMA synchronous=FULL`` on its connection, which its
                     documentation does not name: one fdatasync a commit
huey                 ``SqliteStorage(fsync=True)``: one fdatasync a commit; taking a job deletes
                     it, so a worker that dies loses it: there is no acknowledgement
dirq                 ``QueueSimple``: never flushes; lock and remove are its acknowledgement
===================  ==========================================================================

The result goes into a second queue of the same kind, or huey's result store. Imported only
where these packages are installed, in a venv of their own.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from infra.benches.queue.contender import JOB, RESULT, Contender
from infra.benches.queue.peers.huey_storage import HueyStorage


class PersistQueue(Contender):
    """persist-queue's queue with acknowledgement."""

    def __init__(self, folder: Path) -> None:
        import persistqueue  # type: ignore[import-not-found]

        self._folder = folder / "jobs"
        self._jobs = persistqueue.SQLiteAckQueue(str(self._folder))
        self._results = persistqueue.SQLiteAckQueue(str(folder / "results"))
        self._in_hand: Any = None

    def submit(self) -> None:
        self._jobs.put(JOB)

    def claim(self) -> None:
        self._in_hand = self._jobs.get(block=False, raw=True)

    def finish(self) -> None:
        self._results.put(RESULT)
        self._jobs.ack(id=self._in_hand["pqid"])

    def fill_history(self, count: int) -> None:
        """Rows that were acknowledged."""
        with sqlite3.connect(self._folder / "data.db") as database:
            row = (self._jobs._serializer.dumps(JOB), time.time())
            database.executemany(
                f"INSERT INTO {self._jobs._table_name} (data, timestamp, status)"  # noqa: S608
                " VALUES (?, ?, 5)",
                [row] * count,
            )


class LiteQueue(Contender):
    """litequeue; ``synchronous`` is set on its connection where given."""

    def __init__(self, folder: Path, synchronous: str | None = None) -> None:
        from litequeue import LiteQueue as Queue  # type: ignore[import-not-found]

        folder.mkdir(parents=True, exist_ok=True)
        self._jobs = Queue(folder / "queue.db")
        self._results = Queue(self._jobs.conn, queue_name="Results")
        if synchronous is not None:
            self._jobs.conn.execute(f"PRAGMA synchronous = {synchronous}")
        self._in_hand = ""

    def submit(self) -> None:
        self._jobs.put(JOB)

    def claim(self) -> None:
        self._in_hand = self._jobs.pop().message_id

    def finish(self) -> None:
        self._results.put(RESULT)
        self._jobs.done(self._in_hand)

    def fill_history(self, count: int) -> None:
        """Rows that are done."""
        with self._jobs.transaction():
            for _ in range(count):
                self._jobs.done(self._jobs.put(JOB).message_id)
            self._jobs.conn.execute(
                f"UPDATE {self._jobs.table} SET status = 2 WHERE done_time IS NOT NULL"  # noqa: S608
            )


class Huey(HueyStorage):
    """huey's storage in SQLite."""

    def __init__(self, folder: Path) -> None:
        from huey.storage import SqliteStorage  # type: ignore[import-not-found]

        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(SqliteStorage(filename=str(folder / "huey.db"), fsync=True))

    def fill_history(self, count: int) -> None:
        """Results that nobody has fetched; jobs leave nothing behind."""
        with self._storage.db(commit=True) as cursor:
            first = self._finished + 1
            self._finished += count
            cursor.executemany(
                "INSERT INTO kv (queue, key, value) VALUES (?, ?, ?)",
                [
                    (self._storage.name, str(number), RESULT.encode())
                    for number in range(first, first + count)
                ],
            )


class Dirq(Contender):
    """dirq's directory queue; finished jobs and fetched results leave nothing behind."""

    def __init__(self, folder: Path) -> None:
        from dirq.QueueSimple import QueueSimple  # type: ignore[import-not-found]

        folder.mkdir(parents=True, exist_ok=True)
        self._jobs = QueueSimple(str(folder / "jobs"))
        self._results = QueueSimple(str(folder / "results"))
        self._in_hand = ""

    def submit(self) -> None:
        """Not flushed."""
        self._jobs.add(JOB)

    def claim(self) -> None:
        self._in_hand = self._jobs.first()
        if not self._jobs.lock(self._in_hand):
            raise RuntimeError("another worker holds the job")
        self._jobs.get(self._in_hand)

    def finish(self) -> None:
        self._results.add(RESULT)
        self._jobs.remove(self._in_hand)


PEERS: dict[str, Callable[[Path], Contender]] = {
    "persist-queue": PersistQueue,
    "litequeue": LiteQueue,
    "litequeue-full": partial(LiteQueue, synchronous="FULL"),
    "huey": Huey,
    "dirq": Dirq,
}
"""By the names under which they take part."""
