"""Keep the job table up to date with the bucket, which is the truth once a job is published.

Every read of the bucket ends in :func:`ingest`, which may be repeated without harm. A job whose
publication got lost is published again by :func:`sync_all`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.host.caching import cache_key, default_cache
from gcp_side.labseg.host.database import now
from gcp_side.labseg.jobs.freshness import note_pass
from gcp_side.labseg.jobs.queue_from_row import manifest_of, name_of
from gcp_side.labseg.jobs.row_from_queue import columns_of
from gcp_side.labseg.jobs.rows import find, write
from gcp_side.labseg.jobs.unusable_log import log_unusable
from gcp_side.labseg.models import CHANGEABLE_STATES, OPEN_STATES, Job, State
from gcp_side.labseg.queue.access import get_bucket
from segrelay.bucket import Bucket
from segrelay.errors import (
    ManifestRejectedError,
    ObjectExistsError,
    ObjectRefusedError,
    TransientError,
)
from segrelay.names import SITE
from segrelay.queue import JobLocation, JobState, QueueView, Reaper, SiteQueue, scan
from segrelay.queue.lease import store_now

logger = logging.getLogger(__name__)

LIVE = (JobState.UNKNOWN, JobState.PENDING, JobState.CLAIMED)
"""Where a job can be cancelled."""


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What one pass of :func:`sync_all` did."""

    looked_at: int
    """Open jobs before the pass."""
    changed: tuple[str, ...]
    """Ids of jobs whose row changed."""
    reaped: tuple[str, ...]
    """Ids of jobs taken back from dead agents."""


def sync_all() -> SyncReport:
    """Bring every open job up to date, and take jobs back from dead agents.

    Raises
    ------
    StoreUnavailableError
        The bucket did not answer; what was done stays done.
    """
    bucket = get_bucket()
    # Rows before the listing: what is published in between must not look missing.
    jobs = list(Job.objects.filter(state__in=OPEN_STATES))
    view = scan(bucket)
    reaped = _reap(bucket, view)
    if reaped:
        view = scan(bucket)
    jobs += _put_back_by_hand(view)
    log_unusable(item.in_words for item in view.unusable)
    changed = [job.job_id for job in jobs if _follow_or_skip(job, bucket, view)]
    note_pass()
    return SyncReport(looked_at=len(jobs), changed=tuple(changed), reaped=reaped)


def refresh(job: Job) -> Job:
    """Read through to the bucket, at most once in ``REFRESH_SECONDS``; returns the newest row.

    An unreachable bucket is logged, and the row answered as it is.
    """
    if job.state not in CHANGEABLE_STATES:
        return job
    if not _is_due("refresh", job.pk):
        return job
    try:
        read_through(job)
    except TransientError as error:
        logger.warning("job %s: not refreshed: %s", job.pk, error.message)
    return job


def refresh_together(jobs: Sequence[Job]) -> None:
    """As :func:`refresh`, for many jobs with one listing, at most once in ``REFRESH_SECONDS``."""
    live = [job for job in jobs if job.is_open]
    if not live or not _is_due("refresh-together"):
        return
    try:
        bucket = get_bucket()
        view = scan(bucket)
        for job in live:
            _follow_or_skip(job, bucket, view)
    except TransientError as error:
        logger.warning("open jobs: not refreshed: %s", error.message)


def _is_due(kind: str, *parts: str) -> bool:
    """Whether the bucket was not looked into for this within ``REFRESH_SECONDS``."""
    pause = get_conf().refresh_seconds
    return not pause or default_cache.add(cache_key(kind, *parts), True, timeout=pause)


def take_in(job_id: str) -> Job:
    """Bring a job up to date now: a notification says that the bucket has news of it.

    Raises
    ------
    JobNotFoundError
    StoreUnavailableError
    """
    return read_through(find(job_id))


def read_through(job: Job) -> Job:
    """Bring a job up to date that may still change; returns the newest row."""
    if job.state in CHANGEABLE_STATES:
        bucket = get_bucket()
        _follow(job, bucket, scan(bucket))
    return job


def _follow_or_skip(job: Job, bucket: Bucket, view: QueueView) -> bool:
    """As :func:`_follow`; a job of which the store refuses a file keeps none of the others."""
    try:
        return _follow(job, bucket, view)
    except ObjectRefusedError as error:
        log_unusable([f"job {job.pk}: {error.message}"])
        return False


def _follow(job: Job, bucket: Bucket, view: QueueView) -> bool:
    """Ingest what the bucket says of one job; publish it again when it never arrived."""
    queue = SiteQueue(bucket)
    name = name_of(job)
    found = queue.find(name, view)
    if job.cancel_requested_at is not None and found.state in LIVE:
        _cancel(job, bucket, queue)
        found = queue.find(name, view)
    if found.state is JobState.UNKNOWN and job.state == State.SUBMITTING:
        grace = timedelta(seconds=get_conf().publish_grace_seconds)
        return now() - job.submitted_at >= grace and publish(job, queue)
    return ingest(job, found, view)


def ingest(job: Job, found: JobLocation, view: QueueView) -> bool:
    """Write what the bucket says into the job's row; ``job`` then holds the newest row.

    Compare-and-set: nothing changes when it says nothing new, when the job has ended, or
    when another process wrote since ``job`` was read. Returns whether the row changed.
    """
    if job.state not in CHANGEABLE_STATES:
        return False
    if found.state is not JobState.UNKNOWN:
        columns = columns_of(job.job_id, found, view)
    elif job.is_open and not job.missing_since:
        # A job can move while the bucket is listed: only a lasting absence means anything.
        columns = {"missing_since": now()}
    else:
        columns = {}
    changed = write(job, columns, found.attempts, at=found.since)
    if changed and job.missing_since:
        logger.warning("job %s: not found in the queue", job.pk)
    elif changed:
        logger.info("job %s: %s %s %s", job.pk, job.state, job.stage, job.agent)
    return changed


def _cancel(job: Job, bucket: Bucket, queue: SiteQueue) -> None:
    """Create the result *cancelled* unless there is another: then a lost job is not sent again."""
    try:
        queue.cancel(job.job_id, now=store_now(bucket, SITE))
    except ManifestRejectedError as error:
        logger.warning("job %s: not cancelled: %s", job.pk, error.message)


def publish_or_leave(job: Job) -> None:
    """Publish; what the bucket refuses now is left to :func:`sync_all`."""
    try:
        publish(job, SiteQueue(get_bucket()))
    except TransientError as error:
        logger.warning("job %s: not published yet: %s", job.pk, error.message)


def publish(job: Job, queue: SiteQueue) -> bool:
    """Create the job's object in the queue; whether the row changed."""
    try:
        queue.submit(manifest_of(job))
    except ObjectExistsError:
        # Written by another version of this site: that one remains.
        logger.info("job %s: published already", job.pk)
    return write(job, {"state": State.PENDING}, (), at=queue.submitted_at)


def _reap(bucket: Bucket, view: QueueView) -> tuple[str, ...]:
    if not view.claimed:
        return ()
    now = store_now(bucket, SITE)
    # No agent runs as a process of this site: silence alone shows that one is dead.
    reaper = Reaper(bucket, SITE, now=lambda: now, is_dead=lambda _: False)
    reaped = tuple(job.name.job_id for job in reaper.reap(view))
    log_unusable(item.in_words for item in reaper.passed_over)
    return reaped


def _put_back_by_hand(view: QueueView) -> list[Job]:
    """Jobs known as rejected that are in the queue: an operator put them back."""
    rejected = set(Job.objects.filter(state=State.REJECTED).values_list("pk", flat=True))
    live = {item.name.job_id for item in view.pending}
    live |= {item.name.job_id for item in view.claimed}
    return list(Job.objects.filter(pk__in=rejected & live))
