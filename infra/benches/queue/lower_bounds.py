"""What the disk alone allows: the flushes of a cycle, with no queue around them.

=================  ============================================================================
``floor-files``    a new file written aside and flushed, renamed, and its folder flushed: what
                   a finish of ours flushes
``floor-commits``  three commits to one SQLite file, WAL with ``synchronous=FULL``: what a cycle
                   of a durable peer flushes
=================  ============================================================================
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from infra.benches.queue.contender import JOB, RESULT, Contender

FULL_LOG = 5_000_000
"""Bytes; SQLite starts its log again after 1,000 pages of 4 KiB."""


class FileWrites(Contender):
    """A result as a file that lasts, by system calls alone."""

    def __init__(self, folder: Path) -> None:
        self._results = str(folder / "results")
        self._aside = str(folder / "aside")
        os.makedirs(self._results)
        self._written = 0

    def finish(self) -> None:
        """Write the result and flush file and folder."""
        self._written += 1
        file = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        os.write(file, RESULT.encode())
        os.fsync(file)
        os.close(file)
        os.rename(self._aside, f"{self._results}/{self._written}.json")
        folder = os.open(self._results, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


class Commits(Contender):
    """A job taken, its result added, the job ended: a commit each, by plain SQL."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._database = sqlite3.connect(folder / "commits.db", isolation_level=None)
        for line in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE jobs (id INTEGER PRIMARY KEY, state INTEGER, job TEXT)",
            "CREATE TABLE results (id INTEGER PRIMARY KEY, result TEXT)",
        ):
            self._database.execute(line)
        self._fill_log()
        self._job: int | None = None

    def submit(self) -> None:
        self._job = self._database.execute(
            "INSERT INTO jobs (state, job) VALUES (0, ?)", (JOB,)
        ).lastrowid

    def finish(self) -> None:
        """Commit three times."""
        self._database.execute("UPDATE jobs SET state = 1 WHERE id = ?", (self._job,))
        self._database.execute("INSERT INTO results (result) VALUES (?)", (RESULT,))
        self._database.execute("UPDATE jobs SET state = 2 WHERE id = ?", (self._job,))

    def _fill_log(self) -> None:
        # A log that still grows costs twice as much to flush: its length is flushed with it.
        self._database.execute("INSERT INTO results (result) VALUES (?)", ("r" * FULL_LOG,))
        self._database.execute("DELETE FROM results")
        self._database.execute("PRAGMA wal_checkpoint(RESTART)")


LOWER_BOUNDS: dict[str, Callable[[Path], Contender]] = {
    "floor-files": FileWrites,
    "floor-commits": Commits,
}
"""By the names under which they take part."""
