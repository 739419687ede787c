"""One of several processes of a site that change the same jobs at once.

``python -m tests.support.site.racing_site prepare | race NUMBER CHANGES | report``; answers JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import django

from segrelay.stages import Stage

JOBS = 4
"""Fewer rows than racers times changes by far: they meet all the time."""

OWN_JOBS = 5
"""Jobs that each racer submits and cancels on the way."""


def prepare() -> dict[str, Any]:
    """Submit the jobs that all change."""
    return {"jobs": [_submit() for _ in range(JOBS)]}


def race(number: int, changes: int) -> dict[str, Any]:
    """Count up in the jobs' rows ``changes`` times, each from the row as it was read."""
    from gcp_side.labseg.models import Job

    shared = list(Job.objects.order_by("pk").values_list("pk", flat=True)[:JOBS])
    _wait_for_the_start()
    made, refused = 0, 0
    while made < changes:
        if _count_up(shared[(made + number) % JOBS], agent=f"lab-{number}"):
            made += 1
            if made % (changes // OWN_JOBS) == 0:
                _submit_and_cancel()
        else:
            refused += 1
    return {"made": made, "refused": refused}


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


def _wait_for_the_start() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


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


def main(verb: str, *numbers: str) -> None:
    django.setup()
    verbs: dict[str, Callable[..., dict[str, Any]]] = {
        "prepare": prepare,
        "race": race,
        "report": report,
    }
    sys.stdout.write(json.dumps(verbs[verb](*map(int, numbers))))


if __name__ == "__main__":
    main(*sys.argv[1:])
