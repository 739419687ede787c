"""The agent's loop of look and claim, alone: no Orthanc, no model, no heartbeat.

``python -m infra.benches.queue.listener ADDRESS JOBS ARGUMENTS``, those of :func:`listen` as JSON,
prints ``null`` when it listens, then a line with the monotonic nanoseconds of each claim, right
after it was won.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable

from infra.benches.queue.relay import AGENT, make_result, now
from infra.benches.queue.stores.access import read_access
from lab_side.agent.doorbells import Doorbell
from lab_side.agent.doorbells.directory import DirectoryDoorbell
from lab_side.agent.doorbells.site import SiteDoorbell
from lab_side.agent.health.heartbeat import Heartbeat
from lab_side.agent.poll_interval import ACTIVE_FOR, PollInterval
from segrelay.bucket import Bucket
from segrelay.bucket.address import REDIS_SCHEMES
from segrelay.bucket.local import LocalBucket
from segrelay.bucket.site import SiteBucket
from segrelay.queue import AgentQueue, scan


def listen(
    address: str, jobs: int, *, active: float, idle: float, doorbell: bool, idling: bool
) -> None:
    """Claim and finish ``jobs`` jobs; each pause is the agent's own."""
    interval = make_interval(active, idle, idling=idling)
    bucket = read_access(address).agents_bucket()
    queue = AgentQueue(bucket, AGENT, now=now)
    changed = threading.Event()
    watcher = make_doorbell(bucket, changed) if doorbell else None
    if watcher is not None:
        watcher.supervise()
        # Until the first call for jobs is open, where there are such calls.
        time.sleep(1.0)
    _print("null")
    while jobs:
        changed.clear()
        if watcher is not None:
            watcher.supervise()
        for job in scan(bucket).pending:
            claim = queue.claim(job)
            if claim is not None:
                _print(str(time.monotonic_ns()))
                interval.note_activity()
                queue.finish(claim, make_result(claim.job_id))
                jobs -= 1
        if jobs:
            changed.wait(interval.pause())
    if watcher is not None:
        watcher.close()


def make_doorbell(
    bucket: Bucket, rang: threading.Event, heartbeat: Heartbeat | None = None
) -> Doorbell | None:
    """What wakes an agent at this store, and carries its heartbeat; None where it only polls."""
    if isinstance(bucket, LocalBucket):
        return DirectoryDoorbell(bucket.root, rang)
    if isinstance(bucket, SiteBucket):
        return SiteDoorbell(bucket, rang, heartbeat)
    if bucket.describe().startswith(REDIS_SCHEMES):
        from lab_side.agent.doorbells.redis import RedisDoorbell
        from segrelay.bucket.redis import RedisBucket

        return RedisDoorbell(bucket, rang) if isinstance(bucket, RedisBucket) else None
    return None


def make_interval(
    active: float, idle: float, *, idling: bool, is_rung: Callable[[], bool] = bool
) -> PollInterval:
    """The agent's poll interval; ``idling``: as if nothing had happened for long."""
    if not idling:
        return PollInterval(active=active, idle=idle, is_rung=is_rung)
    # Every look at this clock is later than the last activity by more than the active time.
    ticks = iter(range(0, sys.maxsize, int(2 * ACTIVE_FOR)))
    return PollInterval(
        active=active, idle=idle, is_rung=is_rung, monotonic=lambda: float(next(ticks))
    )


def _print(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    place, count, how = sys.argv[1:]
    listen(place, int(count), **json.loads(how))
