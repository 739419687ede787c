"""The contenders' processes, what was timed in them, and its figures."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import fmean, median

from infra.benches.child import Child, started_workers
from infra.benches.queue.contender import Timing
from infra.benches.queue.lower_bounds import LOWER_BOUNDS
from infra.benches.rounds import interleaved, ratio

STORES = ("relay", "relay-gcs", "relay-site", "relay-redis")
"""The queue on its four stores."""

OWN_KINDS = (*STORES, "relay-one-look", "naive", *LOWER_BOUNDS)
"""Contenders that need this venv; the others live in that of the peers."""

Rounds = Sequence[Sequence[Timing]]
"""The blocks of one contender, one a round."""


class Worker(Child):
    """One contender in a process of its own."""

    def __init__(self, kind: str, place: str) -> None:
        module = "infra.benches.queue.worker"
        super().__init__(kind, module, [kind, place], peer=kind not in OWN_KINDS)

    def steady(self, jobs: int) -> list[Timing]:
        """Time ``jobs`` jobs, each submitted right before its claim."""
        return [Timing(*times) for times in self.ask({"do": "steady", "jobs": jobs})]

    def backlog(self, jobs: int) -> list[Timing]:
        """Time ``jobs`` jobs that were all submitted before the first claim."""
        return [Timing(*times) for times in self.ask({"do": "backlog", "jobs": jobs})]

    def submit(self) -> int:
        """Submit a job; returns the monotonic clock of before, in nanoseconds."""
        start: int = self.ask({"do": "submit"})
        return start

    def fill_history(self, count: int) -> None:
        """Add finished jobs."""
        self.ask({"do": "history", "jobs": count})


def workers_at(places: Mapping[str, str]) -> AbstractContextManager[dict[str, Worker]]:
    """Workers by kind, each at its place; a word after the kind distinguishes two."""
    return started_workers(lambda name: Worker(name.split()[0], places[name]), places)


def workers_in(folder: Path, kinds: Sequence[str]) -> AbstractContextManager[dict[str, Worker]]:
    """Workers by kind, each in its own new folder below ``folder``."""
    return started_workers(lambda kind: Worker(kind, str(folder / kind)), kinds)


def steady_rounds(
    workers: Mapping[str, Worker], rounds: int, jobs: int, rng: random.Random
) -> dict[str, list[list[Timing]]]:
    """``rounds`` blocks of ``jobs`` jobs of each contender."""
    return interleaved(workers, rounds, rng, lambda kind: workers[kind].steady(jobs))


def claim(timing: Timing) -> int:
    """Nanoseconds of a claim."""
    return timing.claim


def cycle(timing: Timing) -> int:
    """Nanoseconds of a claim with result and acknowledgement."""
    return timing.claim + timing.finish


def whole(timing: Timing) -> int:
    """Nanoseconds from before the submit to after the finish."""
    return timing.submit + timing.claim + timing.finish


def mean_us(rounds: Rounds, part: Callable[[Timing], int]) -> float:
    """Microseconds of a part of a job: the mean of each round, the median of the rounds."""
    return round(median(_means(rounds, part)) / 1e3, 1)


def mean_ratio(slow: Rounds, fast: Rounds, part: Callable[[Timing], int]) -> float:
    """How many times longer it takes in ``slow``."""
    return round(ratio(_means(slow, part), _means(fast, part)), 3)


def _means(rounds: Rounds, part: Callable[[Timing], int]) -> list[float]:
    return [fmean(part(timing) for timing in block) for block in rounds]
