"""The only writer of the job table and its history.

A change is a compare-and-set on the row's revision: a caller that read an older row changes
nothing, so it may be repeated, and run in several processes at once, without harm.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.db import router, transaction
from django.db.models import F

from gcp_side.labseg.errors import JobNotFoundError
from gcp_side.labseg.host.database import now
from gcp_side.labseg.models import FINAL_STATES, OPEN_STATES, EventKind, Job, JobEvent
from gcp_side.labseg.signals import job_finished
from segrelay.manifest import AttemptRecord
from segrelay.ulid import is_ulid


def database() -> str:
    """Alias of the database that jobs are written to: their transactions belong to it."""
    return router.db_for_write(Job)


def find(job_id: str) -> Job:
    """The job of this id.

    Raises
    ------
    JobNotFoundError
        There is none, or it is no id at all.
    """
    if not is_ulid(job_id):
        # PostgreSQL refuses some characters with an error of its own.
        raise JobNotFoundError("There is no job of this id.")
    try:
        return Job.objects.get(pk=job_id)
    except Job.DoesNotExist:
        raise JobNotFoundError("There is no job of this id.") from None


def insert(job: Job) -> None:
    """Store a new job and the first lines of its history, within the caller's transaction."""
    job.save(force_insert=True)
    _add_event(job, EventKind.SUBMITTING, at=job.submitted_at)
    if job.confirmed:
        _add_event(job, EventKind.CONFIRMED, at=job.submitted_at)


def request_cancel(job: Job) -> None:
    """Store the wish to cancel an open job; ``job`` then holds the newest row."""
    at = now()
    Job.objects.filter(pk=job.pk, state__in=OPEN_STATES, cancel_requested_at=None).update(
        cancel_requested_at=at, revision=F("revision") + 1, updated_at=at
    )
    job.refresh_from_db()


def write(
    job: Job,
    columns: dict[str, Any],
    attempts: tuple[AttemptRecord, ...],
    *,
    at: datetime | None,
) -> bool:
    """Set columns on condition that nobody wrote since ``job`` was read; whether the row changed.

    ``job`` then holds the newest row. The history and ``job_finished`` follow in one transaction.

    Parameters
    ----------
    at:
        Since when the job is in its state, by the store's clock; None where that is not known.
    """
    written = now()
    if all(getattr(job, name) == value for name, value in columns.items()):
        return False
    with transaction.atomic(using=database()):
        changed = Job.objects.filter(pk=job.pk, revision=job.revision).update(
            **columns, revision=F("revision") + 1, updated_at=written
        )
        job.refresh_from_db()
        if changed:
            for record in attempts:
                _add_attempt(job, record)
            if "state" in columns:
                _add_event(job, EventKind(job.state), at=at or written)
            if job.state in FINAL_STATES:
                # Sent once, by the process that changed the row: an end is final.
                transaction.on_commit(
                    partial(job_finished.send_robust, Job, job=job), using=database()
                )
    return bool(changed)


def _add_event(job: Job, kind: EventKind, *, at: datetime) -> None:
    _add_line(
        job=job,
        kind=kind,
        attempt=job.attempt,
        at=at,
        agent=job.agent,
        code=job.failure_code,
        text=job.failure_reason,
    )


def _add_attempt(job: Job, record: AttemptRecord) -> None:
    _add_line(
        job=job,
        kind=EventKind.ATTEMPT_ENDED,
        attempt=record.attempt,
        at=record.recorded_at,
        agent=record.agent[:40],
        outcome=record.outcome.value,
        code=record.code,
        text=record.reason,
    )


def _add_line(**columns: Any) -> None:
    """Add a line of the history, unless it is there: reading the bucket may be repeated."""
    JobEvent.objects.bulk_create([JobEvent(**columns)], ignore_conflicts=True)
