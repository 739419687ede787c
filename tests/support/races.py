"""Processes that claim from one queue at once; each is a ``spawn`` target."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.queue import AgentQueue, scan
from tests.support.buckets.gcs import make_bucket
from tests.support.buckets.redis import redis_bucket

CROWD = 40
"""How many jobs a claimer goes for between two looks: all want the same ones, so they meet."""

START_LIMIT = 120.0
"""Seconds for all processes to be there; a loaded machine starts them one after another."""


def race_in_directory(root: Path, number: int, racers: int) -> list[str]:
    """Claim from the queue in ``root`` as agent ``number``; returns the job ids won."""
    return _race(LocalBucket(root), number, racers)


def race_in_cloud(url: str, prefix: str, number: int, racers: int) -> list[str]:
    """Claim from the queue of the fake at ``url`` as agent ``number``."""
    bucket = make_bucket(url, prefix)
    try:
        return _race(bucket, number, racers)
    finally:
        bucket.close()


def race_in_redis(address: str, number: int, racers: int) -> list[str]:
    """Claim from the queue in a Redis as agent ``number``."""
    bucket = redis_bucket(address, deadline=30)
    try:
        return _race(bucket, number, racers)
    finally:
        bucket.close()


def _race(bucket: Bucket, number: int, racers: int) -> list[str]:
    _wait_for_all(bucket, number, racers)
    queue = AgentQueue(bucket, f"lab-{number}", now=lambda: datetime.now(UTC))
    won = []
    while pending := scan(bucket).pending:
        for job in pending[:CROWD]:
            claim = queue.claim(job)
            if claim is not None:
                won.append(claim.job_id)
                # One process could win all within its slice of a busy core.
                time.sleep(0.001)
    return won


def _wait_for_all(bucket: Bucket, number: int, racers: int) -> None:
    bucket.create(f"ready/{number}", b"")
    limit = time.monotonic() + START_LIMIT
    while len(bucket.list("ready/")) < racers:
        if time.monotonic() > limit:
            raise TimeoutError("the other processes have not started")
        time.sleep(0.01)
