"""Processes that claim from one queue at once, each by its address as an agent has it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from segrelay import names
from segrelay.bucket import Bucket, open_bucket
from segrelay.bucket.local import LocalBucket
from segrelay.queue import AgentQueue, scan

CROWD = 40
"""How many jobs a claimer goes for between two looks: all want the same ones, so they meet."""

START_LIMIT = 120.0
"""Seconds for all processes to be there; a loaded machine starts them one after another."""


def race(address: str, environment: Mapping[str, str], agent: str, racers: int) -> list[str]:
    """Claim from a queue as an agent; returns the job ids won. A ``spawn`` target."""
    os.environ.update(environment)
    ca_file = os.environ.get("SEGRELAY_QUEUE_CA_FILE")
    bucket = open_bucket(
        address,
        ca_file=Path(ca_file) if ca_file else None,
        token=lambda: os.environ.get("SEGRELAY_QUEUE_TOKEN", ""),
        password=lambda: os.environ.get("SEGRELAY_REDIS_PASSWORD", ""),
    )
    return _race(bucket, agent, racers)


def race_in_directory(root: Path, number: int, racers: int) -> list[str]:
    """Claim from the queue in ``root`` as agent ``number``."""
    return _race(LocalBucket(root), f"lab-{number}", racers)


def _race(bucket: Bucket, agent: str, racers: int) -> list[str]:
    _wait_for_all(bucket, agent, racers)
    queue = AgentQueue(bucket, agent, now=lambda: datetime.now(UTC))
    won = []
    while pending := scan(bucket).pending:
        for job in pending[:CROWD]:
            began = time.monotonic()
            claim = queue.claim(job)
            if claim is None:
                continue
            won.append(claim.job_id)
            # Who loses asks once more than who wins, and would never catch up.
            time.sleep(3 * (time.monotonic() - began))
            if len(won) == 1:
                _wait_until_all_have_won(bucket, racers)
    return won


def _wait_until_all_have_won(bucket: Bucket, racers: int) -> None:
    """On a busy machine one process could otherwise win all jobs before another one runs."""
    _wait_until(lambda: len({job.agent for job in scan(bucket).claimed}) == racers)


def _wait_for_all(bucket: Bucket, agent: str, racers: int) -> None:
    place = f"{names.PROBE}ready-"
    bucket.create(f"{place}{agent}.json", b"")
    _wait_until(lambda: len(bucket.list(place)) == racers)


def _wait_until(is_so: Callable[[], bool]) -> None:
    limit = time.monotonic() + START_LIMIT
    while not is_so():
        if time.monotonic() > limit:
            raise TimeoutError("the other processes have not come so far")
        time.sleep(0.02)
