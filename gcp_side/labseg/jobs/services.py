"""The only place where a job's state changes; views, admin and commands call it.

A row is written first and published to the bucket after the transaction has committed; a
publication that got lost is made good by :func:`sync_all`. From then on the bucket is the
truth, and every look into it ends in :func:`ingest`: a compare-and-set on the row's revision
that may be repeated, and run at the same time anywhere, without harm.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import router, transaction
from django.db.models import F, Q
from pydantic import ValidationError

from gcp_side.labseg.conf import Conf, get_bucket, get_conf
from gcp_side.labseg.errors import (
    ConfirmationNeededError,
    JobNotFoundError,
    JobStateError,
    SubmissionRefusedError,
)
from gcp_side.labseg.host.caching import cache_key, default_cache
from gcp_side.labseg.host.database import now
from gcp_side.labseg.jobs.checked_input import reasons_for
from gcp_side.labseg.jobs.confirmation import Confirm, in_english, unconfirmed
from gcp_side.labseg.jobs.freshness import note_pass
from gcp_side.labseg.jobs.odd_log import name_odd
from gcp_side.labseg.jobs.row_from_queue import columns_of
from gcp_side.labseg.jobs.selection import Selection, roles_of, select
from gcp_side.labseg.models import (
    CHANGEABLE_STATES,
    FINAL_STATES,
    LONGEST_USER_NAME,
    OPEN_STATES,
    EventKind,
    Job,
    JobEvent,
    State,
)
from gcp_side.labseg.orthanc.client import Orthanc
from gcp_side.labseg.signals import job_finished
from segrelay.bucket import Bucket
from segrelay.errors import (
    ManifestRejectedError,
    ObjectExistsError,
    ObjectRefusedError,
    TransientError,
)
from segrelay.manifest import AttemptRecord, JobManifest, SeriesInput, schema_for
from segrelay.names import SITE, JobName
from segrelay.parsing.validation import describe_first_error
from segrelay.queue import JobLocation, JobState, QueueView, Reaper, SiteQueue, scan
from segrelay.queue.lease import store_now
from segrelay.ulid import is_ulid, new_ulid

if TYPE_CHECKING:
    from django.contrib.auth.models import User

log = logging.getLogger(__name__)

CANCEL_TRIES = 3
"""Looks after a cancellation: another process may write the row at the same moment."""

LIVE = (JobState.UNKNOWN, JobState.PENDING, JobState.CLAIMED)
"""Where a job can be called off."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a user asks for."""

    series_ids: tuple[str, ...]
    """Orthanc ids, in the order of the roles."""
    profile: str | None = None
    """The usual one unless given."""
    roles: tuple[str, ...] | None = None
    """Those configured for the profile unless given."""
    priority: int | None = None
    """0..9, 0 first; the usual one unless given."""
    labels: tuple[str, ...] | None = None
    """What an agent must have to run it; the profile's usual ones unless given."""
    study_id: str | None = None
    """Orthanc id of the study that all series must belong to; any one study unless given."""
    requested_by: User | None = None
    confirm: Confirm = False
    """Codes of ``jobs.confirmation.REASONS`` that a person has seen and accepts."""


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What :func:`retry` found or did."""

    job: Job
    """The new job, or the one that tries the same again already."""
    is_new: bool


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What one pass of :func:`sync_all` did."""

    looked_at: int
    """Open jobs before the pass."""
    changed: tuple[str, ...]
    """Ids of jobs whose row changed."""
    reaped: tuple[str, ...]
    """Ids of jobs taken back from dead agents."""


def submit(submission: Submission, *, orthanc: Orthanc) -> Job:
    """Check the series, store a job and publish it once the transaction has committed.

    Raises
    ------
    SubmissionRefusedError
        ``request-invalid`` or a code of :mod:`gcp_side.labseg.jobs.selection`; nothing was stored.
    ConfirmationNeededError
        Something speaks against the series that ``confirm`` does not cover; nothing was stored.
    OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
        Orthanc or the queue cannot be used; nothing was stored.
    """
    job = _new_job(submission, orthanc=orthanc)
    with transaction.atomic(using=_database()):
        _store(job)
    return job


def retry(
    job_id: str,
    *,
    orthanc: Orthanc,
    force: bool = False,
    requested_by: User | None = None,
    confirm: Confirm = False,
) -> Retried:
    """Try an ended job again, as a new job for the same series, profile, priority and labels.

    While one such job is open, another call answers with that one. ``force`` is for a job that
    has succeeded, or whose retry has.

    Raises
    ------
    JobNotFoundError
    JobStateError
        ``job-open`` or ``job-succeeded``.
    SubmissionRefusedError, ConfirmationNeededError, StoreUnavailableError
        And what else :func:`submit` raises; nothing was stored.
    """
    old = _look(find(job_id))
    _check_may_retry(old, force=force)
    standing = _open_retry(old)
    if standing is not None:
        return Retried(job=standing, is_new=False)
    submission = Submission(
        series_ids=old.series_ids,
        profile=old.profile,
        roles=tuple(item["role"] for item in old.series),
        priority=old.priority,
        labels=tuple(old.labels),
        requested_by=requested_by,
        confirm=confirm,
    )
    job = _new_job(submission, orthanc=orthanc)
    job.retry_of = old
    with transaction.atomic(using=_database()):
        # Two retries at once: the second one waits here for the first.
        Job.objects.select_for_update().get(pk=old.pk)
        standing = _open_retry(old)
        if standing is None:
            _store(job)
    return Retried(job=standing or job, is_new=standing is None)


def cancel(job_id: str) -> Job:
    """Call a job off; the row returned says what stands, the cancellation or an earlier end.

    The wish is stored first: where the bucket does not answer, a later look into it (by
    :func:`sync_all` or :func:`refresh`) carries it out before anything else.

    Raises
    ------
    JobNotFoundError
    StoreUnavailableError
        The wish is stored if the job is open; nothing else was done.
    """
    job = find(job_id)
    if not job.is_open:
        _look(job)
    if job.is_open:
        at = now()
        Job.objects.filter(pk=job.pk, state__in=OPEN_STATES, cancel_requested_at=None).update(
            cancel_requested_at=at, revision=F("revision") + 1, updated_at=at
        )
        job.refresh_from_db()
    for _ in range(CANCEL_TRIES):
        if job.is_open:
            _look(job)
    return job


def _new_job(submission: Submission, *, orthanc: Orthanc) -> Job:
    """A job whose series have been checked; not stored."""
    conf = get_conf()
    get_bucket()
    profile = submission.profile or conf.usual_profile
    roles = roles_of(profile, conf, submission.roles)
    selection = select(submission.series_ids, roles, orthanc)
    if submission.study_id not in (None, selection.study_id):
        raise SubmissionRefusedError(
            "The series do not belong to this study.",
            code="other-study",
            remedy="Choose series of the study.",
        )
    priority = conf.priority if submission.priority is None else submission.priority
    user = submission.requested_by
    submitted_at = now()
    job = Job(
        job_id=new_ulid(),
        profile=profile,
        priority=priority,
        labels=_labels_of(submission, profile, conf),
        orthanc_study_id=selection.study_id,
        study_instance_uid=selection.study_instance_uid,
        series=_series_column(selection),
        max_attempts=conf.max_attempts,
        requested_by_id=None if user is None else user.pk,
        submitted_at=submitted_at,
        updated_at=submitted_at,
    )
    _check_manifest(job)
    reasons = reasons_for(profile, selection, orthanc)
    if unconfirmed(reasons, submission.confirm):
        raise ConfirmationNeededError(
            f"The series need a confirmation for the profile {profile}: {in_english(reasons)}",
            reasons=reasons,
        )
    job.confirmed = [reason.as_dict() for reason in reasons]
    job.confirmed_by = _who(submission) if reasons else ""
    return job


def _database() -> str:
    """Where jobs are written: transactions and what follows their commit belong to it."""
    return router.db_for_write(Job)


def _who(submission: Submission) -> str:
    """Who confirms: the user, or the command, which knows none."""
    user = submission.requested_by
    return "manage.py" if user is None else str(user.get_username())[:LONGEST_USER_NAME]


def _labels_of(submission: Submission, profile: str, conf: Conf) -> list[str]:
    """Sorted, each once: the same request makes the same manifest."""
    given = submission.labels
    return sorted(set(conf.default_labels.get(profile, ()) if given is None else given))


def _store(job: Job) -> None:
    """Store a new job, and publish it once the surrounding transaction has committed."""
    job.save(force_insert=True)
    _tell(job, EventKind.SUBMITTING, at=job.submitted_at)
    if job.confirmed:
        _tell(job, EventKind.CONFIRMED, at=job.submitted_at)
    transaction.on_commit(partial(_publish_or_leave, job), using=_database())


def _check_may_retry(old: Job, *, force: bool) -> None:
    if old.is_open:
        raise JobStateError(
            f"Job {old.pk} has not ended: it is {old.state}.",
            code="job-open",
            remedy=f"Wait for it, or call it off: manage.py labseg cancel {old.pk}",
        )
    succeeded = Job.objects.filter(state=State.SUCCEEDED)
    done = succeeded.filter(Q(pk=old.pk) | Q(retry_of=old)).first()
    if done is not None and not force:
        what = (
            f"Job {old.pk} has succeeded" if done == old else f"Its retry {done.pk} has succeeded"
        )
        raise JobStateError(
            f"{what}.",
            code="job-succeeded",
            remedy="Use that result; or give --force to have the same done once more.",
        )


def _open_retry(old: Job) -> Job | None:
    return Job.objects.filter(retry_of=old, state__in=OPEN_STATES).first()


def manifest_of(job: Job) -> JobManifest:
    """The manifest of a job: the same bytes whenever it is made.

    Raises
    ------
    pydantic.ValidationError
        A column holds what no manifest may hold.
    """
    return JobManifest(
        schema_version=schema_for(job.labels, job.confirmed),
        labels=tuple(job.labels),
        confirmed=tuple(dict.fromkeys(item["code"] for item in job.confirmed)),
        job_id=job.job_id,
        profile=job.profile,
        priority=job.priority,
        submitted_at=job.submitted_at.astimezone(UTC),
        orthanc_study_id=job.orthanc_study_id,
        series=tuple(
            SeriesInput(
                role=item["role"],
                orthanc_id=item["orthanc_id"],
                expected_instances=item["expected_instances"],
            )
            for item in job.series
        ),
        max_attempts=job.max_attempts,
        retry_of=job.retry_of_id,
    )


def name_of(job: Job) -> JobName:
    """The name under which a job is published."""
    return JobName(priority=job.priority, job_id=job.job_id, profile=job.profile, fence=0)


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


def take_in(job_id: str) -> Job:
    """Bring a job up to date now: something tells that the bucket has news of it.

    Raises
    ------
    JobNotFoundError
    StoreUnavailableError
    """
    return _look(find(job_id))


def refresh(job: Job) -> Job:
    """Read through to the bucket, at most once in ``REFRESH_SECONDS``; returns the newest row.

    An unreachable bucket is logged, and the row answered as it is.
    """
    if job.state not in CHANGEABLE_STATES:
        return job
    pause = get_conf().refresh_seconds
    if pause and not default_cache.add(cache_key("refresh", job.pk), True, timeout=pause):
        return job
    try:
        _look(job)
    except TransientError as error:
        log.warning("job %s: not refreshed: %s", job.pk, error.message)
    return job


def refresh_together(jobs: Sequence[Job]) -> None:
    """As :func:`refresh`, for many jobs with one listing, at most once in ``REFRESH_SECONDS``."""
    live = [job for job in jobs if job.is_open]
    pause = get_conf().refresh_seconds
    if not live or (
        pause and not default_cache.add(cache_key("refresh-together"), True, timeout=pause)
    ):
        return
    try:
        bucket = get_bucket()
        view = scan(bucket)
        for job in live:
            _follow_or_name(job, bucket, view)
    except TransientError as error:
        log.warning("open jobs: not refreshed: %s", error.message)


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
    name_odd(item.in_words for item in view.odd)
    changed = [job.job_id for job in jobs if _follow_or_name(job, bucket, view)]
    note_pass()
    return SyncReport(looked_at=len(jobs), changed=tuple(changed), reaped=reaped)


def ingest(job: Job, found: JobLocation, view: QueueView) -> bool:
    """Write what the bucket says into the job's row; ``job`` then holds the newest row.

    Compare-and-set: nothing changes when it says nothing new, when the job has ended, or
    when somebody else wrote since ``job`` was read. Returns whether the row changed.
    """
    if job.state not in CHANGEABLE_STATES:
        return False
    if found.state is JobState.UNKNOWN:
        columns = _columns_when_missing(job)
    else:
        columns = columns_of(job.job_id, found, view)
    changed = _write(job, columns, found.attempts, at=found.since)
    if changed and job.missing_since:
        log.warning("job %s: the queue shows nothing of it", job.pk)
    elif changed:
        log.info("job %s: %s %s %s", job.pk, job.state, job.stage, job.agent)
    return changed


def _check_manifest(job: Job) -> None:
    """Refuse what no manifest may hold: a profile's name, a role, a priority, a label."""
    try:
        manifest_of(job)
    except ValidationError as error:
        raise SubmissionRefusedError(
            f"The request is not valid: {describe_first_error(error, JobManifest)}.",
            code="request-invalid",
        ) from None


def _series_column(selection: Selection) -> list[dict[str, Any]]:
    return [
        {
            "role": role,
            "orthanc_id": info.orthanc_id,
            "series_instance_uid": info.series_instance_uid,
            "expected_instances": info.instances,
        }
        for role, info in zip(selection.roles, selection.series, strict=True)
    ]


def _look(job: Job) -> Job:
    """Bring a job up to date that may still change; returns it."""
    if job.state in CHANGEABLE_STATES:
        bucket = get_bucket()
        _follow(job, bucket, scan(bucket))
    return job


def _put_back_by_hand(view: QueueView) -> list[Job]:
    """Jobs known as rejected that are in the queue: an operator put them back."""
    rejected = set(Job.objects.filter(state=State.REJECTED).values_list("pk", flat=True))
    live = {item.name.job_id for item in view.pending}
    live |= {item.name.job_id for item in view.claimed}
    return list(Job.objects.filter(pk__in=rejected & live))


def _publish_or_leave(job: Job) -> None:
    """Publish; what the bucket refuses now is left to :func:`sync_all`."""
    try:
        _publish(job, SiteQueue(get_bucket()))
    except TransientError as error:
        log.warning("job %s: not yet in the queue: %s", job.pk, error.message)


def _publish(job: Job, desk: SiteQueue) -> bool:
    try:
        desk.submit(manifest_of(job))
    except ObjectExistsError:
        # Written by another version of this site: that one stands.
        log.info("job %s: is in the queue already", job.pk)
    return _write(job, {"state": State.PENDING}, (), at=desk.submitted_at)


def _follow(job: Job, bucket: Bucket, view: QueueView) -> bool:
    """Ingest what the bucket says of one job; publish it again when it never arrived."""
    desk = SiteQueue(bucket)
    name = name_of(job)
    found = desk.find(name, view)
    if job.cancel_requested_at is not None and found.state in LIVE:
        _call_off(job, bucket, desk)
        found = desk.find(name, view)
    if found.state is JobState.UNKNOWN and job.state == State.SUBMITTING:
        grace = timedelta(seconds=get_conf().publish_grace_seconds)
        return now() - job.submitted_at >= grace and _publish(job, desk)
    return ingest(job, found, view)


def _follow_or_name(job: Job, bucket: Bucket, view: QueueView) -> bool:
    """As :func:`_follow`; a job of which the store refuses a file keeps none of the others."""
    try:
        return _follow(job, bucket, view)
    except ObjectRefusedError as error:
        name_odd([f"job {job.pk}: {error.message}"])
        return False


def _call_off(job: Job, bucket: Bucket, desk: SiteQueue) -> None:
    """Create the result *cancelled* unless there is another: then a lost job is not sent again."""
    try:
        desk.cancel(job.job_id, now=store_now(bucket, SITE))
    except ManifestRejectedError as error:
        log.warning("job %s: not cancelled: %s", job.pk, error.message)


def _columns_when_missing(job: Job) -> dict[str, Any]:
    if not job.is_open:
        return {}
    # A job can move while the bucket is listed: only a lasting absence means anything.
    return {} if job.missing_since else {"missing_since": now()}


def _write(
    job: Job,
    columns: dict[str, Any],
    attempts: tuple[AttemptRecord, ...],
    *,
    at: datetime | None,
) -> bool:
    """Set columns on condition that nobody wrote since ``job`` was read.

    ``at``: since when the job is in the state, by the store's clock; now where that is not known.
    """
    written = now()
    if all(getattr(job, name) == value for name, value in columns.items()):
        return False
    with transaction.atomic(using=_database()):
        changed = Job.objects.filter(pk=job.pk, revision=job.revision).update(
            **columns, revision=F("revision") + 1, updated_at=written
        )
        job.refresh_from_db()
        if changed:
            for record in attempts:
                _tell_attempt(job, record)
            if "state" in columns:
                _tell(job, EventKind(job.state), at=at or written)
            if job.state in FINAL_STATES:
                # Whoever changed the row is the only one to say so: no end changes again.
                transaction.on_commit(
                    partial(job_finished.send_robust, Job, job=job), using=_database()
                )
    return bool(changed)


def _tell(job: Job, kind: EventKind, *, at: datetime) -> None:
    JobEvent.objects.bulk_create(
        [
            JobEvent(
                job=job,
                kind=kind,
                attempt=job.attempt,
                at=at,
                agent=job.agent,
                code=job.failure_code,
                text=job.failure_reason,
            )
        ],
        ignore_conflicts=True,
    )


def _tell_attempt(job: Job, record: AttemptRecord) -> None:
    JobEvent.objects.bulk_create(
        [
            JobEvent(
                job=job,
                kind=EventKind.ATTEMPT_ENDED,
                attempt=record.attempt,
                at=record.recorded_at,
                agent=record.agent[:40],
                outcome=record.outcome.value,
                code=record.code,
                text=record.reason,
            )
        ],
        ignore_conflicts=True,
    )


def _reap(bucket: Bucket, view: QueueView) -> tuple[str, ...]:
    if not view.claimed:
        return ()
    now = store_now(bucket, SITE)
    # No agent runs as a process of this site: silence alone tells that one is dead.
    reaper = Reaper(bucket, SITE, now=lambda: now, is_dead=lambda _: False)
    reaped = tuple(job.name.job_id for job in reaper.reap(view))
    name_odd(item.in_words for item in reaper.passed_over)
    return reaped
