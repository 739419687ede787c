"""The naive way: one JSON file a job, its state inside, rewritten in place.

To claim, every file is read in the order of age until one says that it waits. Nothing is
flushed but the submit, nothing is ever removed, and two workers may take the same job.
"""

from __future__ import annotations

import glob
import json
import os
from pathlib import Path
from typing import Any

from infra.benches.queue.contender import JOB, RESULT, Contender


class Naive(Contender):
    """A folder of jobs and a folder of results."""

    def __init__(self, folder: Path) -> None:
        self._jobs, self._results = folder / "jobs", folder / "results"
        self._jobs.mkdir(parents=True)
        self._results.mkdir()
        self._next = 0
        self._in_hand: tuple[str, dict[str, Any]] | None = None

    def submit(self) -> None:
        """Flushed, with its folder."""
        with self._new_path().open("w") as file:
            json.dump(_document("waiting"), file)
            file.flush()
            os.fsync(file.fileno())
        handle = os.open(self._jobs, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)

    def claim(self) -> None:
        """The claim is not flushed."""
        for path in sorted(glob.glob(f"{self._jobs}/*.json")):
            with open(path) as file:
                job = json.load(file)
            if job["status"] == "waiting":
                self._rewrite(path, job, "running")
                self._in_hand = path, job
                return
        raise RuntimeError("no job waits")

    def finish(self) -> None:
        """Nothing is flushed."""
        if self._in_hand is None:
            raise RuntimeError("no job is in hand")
        path, job = self._in_hand
        (self._results / os.path.basename(path)).write_text(RESULT)
        self._rewrite(path, job, "done")
        self._in_hand = None

    def fill_history(self, count: int) -> None:
        """The finished jobs' files."""
        text = json.dumps(_document("done"))
        for _ in range(count):
            self._new_path().write_text(text)

    def _new_path(self) -> Path:
        self._next += 1
        return self._jobs / f"{self._next:09d}.json"

    @staticmethod
    def _rewrite(path: str, job: dict[str, Any], status: str) -> None:
        job["status"] = status
        with open(path, "w") as file:
            json.dump(job, file)


def _document(status: str) -> dict[str, str]:
    return {"status": status, "manifest": JOB}
