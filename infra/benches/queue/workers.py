"""The contenders' processes, and blocks of jobs in turn, so that drift hits all alike."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from infra.benches.child import Child
from infra.benches.queue.contender import Timing
from infra.benches.queue.lower_bounds import LOWER_BOUNDS

OWN_KINDS = ("relay", "relay-one-look", "relay-gcs", "naive", *LOWER_BOUNDS)
"""Contenders that need this venv; the others live in that of the peers."""


class Worker:
    """One contender in a process of its own."""

    def __init__(self, kind: str, place: str) -> None:
        self._child = Child(
            kind, "infra.benches.queue.worker", [kind, place], peer=kind not in OWN_KINDS
        )

    def steady(self, jobs: int) -> list[Timing]:
        """Time ``jobs`` jobs, each submitted right before its claim."""
        return self._timed("steady", jobs)

    def backlog(self, jobs: int) -> list[Timing]:
        """Time ``jobs`` jobs that were all submitted before the first claim."""
        return self._timed("backlog", jobs)

    def fill_history(self, count: int) -> None:
        """Add finished jobs."""
        self._child.ask({"do": "history", "jobs": count})

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def _timed(self, what: str, jobs: int) -> list[Timing]:
        return [Timing(*pair) for pair in self._child.ask({"do": what, "jobs": jobs})]


@contextlib.contextmanager
def started_workers(kinds: Sequence[str], folder: Path) -> Iterator[dict[str, Worker]]:
    """Workers by kind, each in its own new folder below ``folder``; ended with the block."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for kind in kinds:
            workers[kind] = Worker(kind, str(folder / kind))
            stack.callback(workers[kind].close)
        yield workers


def steady_rounds(
    workers: Mapping[str, Worker], rounds: int, jobs: int, rng: random.Random
) -> dict[str, list[list[Timing]]]:
    """``rounds`` blocks of each, in a new order every round."""
    timed: dict[str, list[list[Timing]]] = {kind: [] for kind in workers}
    for _ in range(rounds):
        for kind in rng.sample(sorted(workers), len(workers)):
            timed[kind].append(workers[kind].steady(jobs))
    return timed
