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

from infra.benches.queue.relay import AGENT, make_result, now
from lab_side.agent.doorbells.directory import DirectoryDoorbell
from lab_side.agent.poll_interval import ACTIVE_FOR, PollInterval
from segrelay.bucket import open_bucket
from segrelay.bucket.local import LocalBucket
from segrelay.queue import AgentQueue, scan


def listen(
    address: str, jobs: int, *, active: float, idle: float, doorbell: bool, idling: bool
) -> None:
    """Claim and finish ``jobs`` jobs; each pause is the agent's own."""
    interval = make_interval(active, idle, idling=idling)
    bucket = open_bucket(address)
    queue = AgentQueue(bucket, AGENT, now=now)
    changed = threading.Event()
    watcher: DirectoryDoorbell | None = None
    if doorbell and isinstance(bucket, LocalBucket):
        watcher = DirectoryDoorbell(bucket.root, changed)
        watcher.supervise()
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


def make_interval(active: float, idle: float, *, idling: bool) -> PollInterval:
    """The agent's poll interval; ``idling``: as if nothing had happened for long."""
    if not idling:
        return PollInterval(active=active, idle=idle)
    # Every look at this clock is later than the last activity by more than the active time.
    ticks = iter(range(0, sys.maxsize, int(2 * ACTIVE_FOR)))
    return PollInterval(active=active, idle=idle, monotonic=lambda: float(next(ticks)))


def _print(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    place, count, how = sys.argv[1:]
    listen(place, int(count), **json.loads(how))
