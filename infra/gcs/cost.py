"""What the queue costs a month on Google Cloud Storage: ``python -m infra.gcs.cost``.

Storage is not counted: a job leaves a few kilobytes. How many operations each thing takes is
counted on the strict fake by ``tests/integration/bucket/test_gcs_cost.py``. Refused requests (404,
412) are counted as if they were billed. Prices and classes:
https://cloud.google.com/storage/pricing, Standard storage in one region, read on 2026-09-20.
``objects.move`` is in no class there; it is counted as class A, the dear one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab_side.agent.poll_interval import ACTIVE_FOR
from lab_side.settings.config import AgentConfig
from segrelay.queue.lease import HEARTBEAT_EVERY

CLASS_A_PRICE = 0.005 / 1000
"""US dollars for one list, upload, patch, copy or move."""

CLASS_B_PRICE = 0.0004 / 1000
"""US dollars for one read."""

HOURS = 730
"""In a month."""

POLL: float = AgentConfig.model_fields["poll_seconds"].default
IDLE_POLL: float = AgentConfig.model_fields["idle_poll_seconds"].default
"""Seconds between two looks of an agent."""

SYNC_INTERVAL = 5.0
"""Seconds between two looks of ``labseg sync --watch``."""

PROGRESS_WRITES = 30
"""Assumed for one job: an agent writes its progress at most once a second, when it changed."""

WATCHED_SECONDS = 60
"""Assumed for one job: how long a user's page asks for its state, once a second."""

_CLASS_A = {"list", "upload", "resume-upload", "patch", "update", "copy", "rewrite", "move"}
_CLASS_B = {"get", "download", "get-bucket", "get-layout"}
_FREE = {"delete"}


@dataclass(frozen=True)
class Operations:
    """How many billed requests."""

    class_a: float = 0
    class_b: float = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(self.class_a + other.class_a, self.class_b + other.class_b)

    def __mul__(self, times: float) -> Operations:
        return Operations(self.class_a * times, self.class_b * times)

    @property
    def dollars(self) -> float:
        """What they cost."""
        return self.class_a * CLASS_A_PRICE + self.class_b * CLASS_B_PRICE


LOOK = Operations(class_a=1)
"""One look at a queue in which no job is claimed, by an agent or by the site."""

HEARTBEAT = Operations(class_a=1)

JOB = Operations(class_a=5, class_b=9)
"""From submit to archive, besides looks, regular heartbeats and progress."""

PROGRESS = Operations(class_a=1)

PAGE_LOOK = Operations(class_a=1, class_b=3)
"""One look of a user's page at a job in work."""


def count(operations: Iterable[str]) -> Operations:
    """Add up operations by the names that the fake's request log gives them.

    Raises
    ------
    ValueError
        An operation is in no class.
    """
    total = Operations()
    for operation in operations:
        if operation in _CLASS_A:
            total += Operations(class_a=1)
        elif operation in _CLASS_B:
            total += Operations(class_b=1)
        elif operation not in _FREE:
            raise ValueError(f"{operation} is in no class")
    return total


def waiting_agent() -> Operations:
    """An agent with nothing to do, for one hour."""
    return LOOK * (3600 / IDLE_POLL) + HEARTBEAT * (3600 / HEARTBEAT_EVERY)


def watching_site() -> Operations:
    """``labseg sync --watch`` with nothing to do, for one hour."""
    return LOOK * (3600 / SYNC_INTERVAL)


def lonely_job() -> Operations:
    """One job that comes while the agent waits, with a user who watches it."""
    quick_looks = ACTIVE_FOR / POLL - ACTIVE_FOR / IDLE_POLL
    return JOB + PROGRESS * PROGRESS_WRITES + LOOK * quick_looks + PAGE_LOOK * WATCHED_SECONDS


def rows() -> list[tuple[str, Operations, float]]:
    """What, operations per hour or job, and US dollars per month or for 1,000 jobs."""
    agent, site, job = waiting_agent(), watching_site(), lonely_job()
    return [
        ("agent, an hour; a month", agent, (agent * HOURS).dollars),
        ("site, an hour; a month", site, (site * HOURS).dollars),
        ("job; 1,000 jobs", job, (job * 1000).dollars),
    ]


def main() -> None:
    """Print the table."""
    for what, operations, dollars in rows():
        print(
            f"{what:<28}{operations.class_a:>8.0f} A {operations.class_b:>8.0f} B "
            f"{dollars:>8.2f} USD"
        )


if __name__ == "__main__":
    main()
