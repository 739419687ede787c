"""The agent's loop of look and claim, alone: no Orthanc, no model, no heartbeat.

``python -m infra.benches.queue.listener ADDRESS JOBS --active S --idle S [--doorbell] [--idling]``
prints a line with the monotonic nanoseconds of each claim, right after it was won.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from infra.benches.queue.relay import AGENT, make_result, now
from lab_side.agent.doorbell import Doorbell
from lab_side.agent.poll_interval import ACTIVE_FOR, PollInterval
from segrelay.bucket import open_bucket
from segrelay.bucket.local import LocalBucket
from segrelay.queue import AgentQueue, scan
from segrelay.system.command_line import HelpfulParser


def listen(address: str, jobs: int, *, doorbell: bool, pace: PollInterval) -> None:
    """Claim and finish ``jobs`` jobs; each pause is the agent's own."""
    bucket = open_bucket(address)
    desk = AgentQueue(bucket, AGENT, now=now)
    rang = threading.Event()
    bell = None
    if doorbell and isinstance(bucket, LocalBucket):
        bell = Doorbell(bucket.root, rang)
        bell.supervise()
    _tell("ready")
    while jobs:
        rang.clear()
        if bell is not None:
            bell.supervise()
        for job in scan(bucket).pending:
            claim = desk.claim(job)
            if claim is not None:
                _tell(str(time.monotonic_ns()))
                pace.note_activity()
                desk.finish(claim, make_result(claim.job_id))
                jobs -= 1
        if jobs:
            rang.wait(pace.pause())
    if bell is not None:
        bell.close()


def make_pace(active: float, idle: float, *, idling: bool) -> PollInterval:
    """The agent's pace; ``idling`` as if nothing had happened for long, whatever happens."""
    if not idling:
        return PollInterval(active=active, idle=idle)
    # Every look at this clock is later than the last activity by more than the active time.
    ticks = iter(range(0, sys.maxsize, int(2 * ACTIVE_FOR)))
    return PollInterval(active=active, idle=idle, monotonic=lambda: float(next(ticks)))


def _tell(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _main() -> None:
    parser = HelpfulParser(prog="python -m infra.benches.queue.listener", description=__doc__)
    parser.add_argument("address")
    parser.add_argument("jobs", type=int)
    parser.add_argument("--active", type=float, required=True)
    parser.add_argument("--idle", type=float, required=True)
    parser.add_argument("--doorbell", action="store_true")
    parser.add_argument("--idling", action="store_true")
    options = parser.parse_args()
    pace = make_pace(options.active, options.idle, idling=options.idling)
    listen(options.address, options.jobs, doorbell=options.doorbell, pace=pace)


if __name__ == "__main__":
    _main()
