"""Several processes of a site that change the same jobs at once, in a database without tables.

``python -m tests.support.site.racing_site PROCESSES CHANGES``; answers JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
from typing import Any

import django
from django.core.management import call_command
from django.db import connections

from segrelay.stages import Stage

JOBS = 4
"""Fewer rows than racers times changes by far: they meet all the time."""

OWN_JOBS = 5
"""Jobs that each racer submits and cancels on the way."""


START_S = 60
"""Until all have started; several times what that takes."""

_fork = multiprocessing.get_context("fork")
_start = _fork.Barrier(1)


def race(number: int, changes: int) -> int:
    """Count up in the jobs' rows ``changes`` times, each from the row as it was read."""
    from gcp_side.labseg.models import Job

    shared = list(Job.objects.order_by("pk").values_list("pk", flat=True)[:JOBS])
    random.seed(number)
    _start.wait(START_S)
    made = 0
    while made < changes:
        if _count_up(shared[(made + number) % JOBS], agent=f"lab-{number}"):
            made += 1
            if made % (changes // OWN_JOBS) == 0:
                _submit_and_cancel()
    return made


def report() -> dict[str, Any]:
    """What the database holds afterwards."""
    from gcp_side.labseg.models import Job, JobEvent

    shared = Job.objects.order_by("pk")[:JOBS]
    others = Job.objects.exclude(pk__in=[job.pk for job in shared])
    return {
        "counted": sum(job.done for job in shared),
        "own": [job.state for job in others],
        "own_events": JobEvent.objects.filter(job__in=others).count(),
    }


def _count_up(job_id: str, *, agent: str) -> bool:
    """Read the row, then write one more than was read; False where another was faster."""
    from gcp_side.labseg import jobs
    from gcp_side.labseg.jobs import sync
    from segrelay.queue import HeartbeatJob, JobLocation, JobState, QueueView

    job = jobs.find(job_id)
    progress = HeartbeatJob(
        job_id=job_id, attempt=1, stage=Stage.FETCH, done=job.done + 1, total=10**6
    )
    found = JobLocation(state=JobState.CLAIMED, agent=agent, attempt=1, progress=progress)
    return sync.ingest(job, found, QueueView(pending=(), claimed=(), agents={}, misnamed=()))


def _submit_and_cancel() -> None:
    from gcp_side.labseg import jobs

    jobs.cancel(_submit())


def _submit() -> str:
    from gcp_side.labseg import jobs
    from tests.unit.gcp_side.fakes import FOUR, four_series

    return jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=four_series()).pk


def main(processes: int, changes: int) -> dict[str, Any]:
    """What each process has changed, and what the database holds afterwards."""
    global _start
    django.setup()
    call_command("migrate", verbosity=0)
    for _ in range(JOBS):
        _submit()
    # Each process gets a connection of its own.
    connections.close_all()
    _start = _fork.Barrier(processes)
    with _fork.Pool(processes) as pool:
        # Who waits for the start takes no second task: one to a process.
        made = pool.starmap(race, [(n, changes) for n in range(processes)], chunksize=1)
    return {"made": made} | report()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*map(int, sys.argv[1:]))))
