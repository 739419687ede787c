"""What is asked of every queue, and how one job is timed.

One job: clock → ``submit`` (flushed to the disk where the queue can) → clock → ``claim`` → clock →
``finish`` → clock. Everybody looks for work before each claim, as an agent with room for one job
does. Where stores are compared by a cycle of claim and finish, nobody is charged for a submit.

This module is also imported where only the peers are installed: standard library only.
"""

from __future__ import annotations

import time
from typing import NamedTuple

JOB_BYTES = 765
"""Characters of a job's manifest."""

RESULT_BYTES = 990
"""Characters of a job's result."""

JOB, RESULT = "m" * JOB_BYTES, "r" * RESULT_BYTES


class Timing(NamedTuple):
    """One job, in nanoseconds."""

    claim: int
    finish: int
    submit: int = 0


class Contender:
    """One queue and its one worker; what a queue has no step for does nothing."""

    def submit(self) -> None:
        """Put a job of ``JOB_BYTES`` in the queue."""

    def claim(self) -> None:
        """Look for work, take the oldest job, read it."""

    def wait_and_claim(self) -> None:
        """Wait for a job as this queue's own worker does, and take it."""
        raise NotImplementedError

    def finish(self) -> None:
        """Publish a result of ``RESULT_BYTES`` for the job in hand, and acknowledge the job."""

    def fill_history(self, count: int) -> None:
        """Add ``count`` finished jobs as this queue would have left them; not timed."""


def run_steady(contender: Contender, jobs: int) -> list[Timing]:
    """Each job is claimed as soon as it is there."""
    timings = []
    for _ in range(jobs):
        start = time.perf_counter_ns()
        contender.submit()
        submitted = time.perf_counter_ns() - start
        timings.append(_time_one(contender)._replace(submit=submitted))
    return timings


def run_backlog(contender: Contender, jobs: int) -> list[Timing]:
    """All jobs wait before the first is claimed."""
    submits = []
    for _ in range(jobs):
        start = time.perf_counter_ns()
        contender.submit()
        submits.append(time.perf_counter_ns() - start)
    return [_time_one(contender)._replace(submit=submit) for submit in submits]


def _time_one(contender: Contender) -> Timing:
    start = time.perf_counter_ns()
    contender.claim()
    claimed = time.perf_counter_ns()
    contender.finish()
    return Timing(claimed - start, time.perf_counter_ns() - claimed)
