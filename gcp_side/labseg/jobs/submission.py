"""Submit a job, try it again, cancel it; the admin, the views and the command call these.

A row is written first and published to the bucket once the transaction has committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q
from pydantic import ValidationError

from gcp_side.labseg.conf import Conf, get_conf
from gcp_side.labseg.errors import ConfirmationNeededError, JobStateError, SubmissionRefusedError
from gcp_side.labseg.host.database import now
from gcp_side.labseg.jobs.checked_input import reasons_for
from gcp_side.labseg.jobs.confirmation import Confirm, in_english, unconfirmed
from gcp_side.labseg.jobs.queue_from_row import manifest_of
from gcp_side.labseg.jobs.rows import database, find, insert, request_cancel
from gcp_side.labseg.jobs.selection import Selection, roles_of, select
from gcp_side.labseg.jobs.sync import publish_or_leave, read_through
from gcp_side.labseg.models import LONGEST_USER_NAME, OPEN_STATES, Job, State
from gcp_side.labseg.orthanc.client import Orthanc
from gcp_side.labseg.queue.access import get_bucket
from segrelay.errors import OtherStudyError
from segrelay.manifest import JobManifest
from segrelay.parsing.validation import describe_first_error
from segrelay.ulid import new_ulid

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CANCEL_TRIES = 3
"""Refreshes after a cancellation: another process may write the row at the same moment."""


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
    """Codes of ``jobs.confirmation.REASONS`` that a user has seen and accepts."""


def submit(submission: Submission, *, orthanc: Orthanc) -> Job:
    """Check the series, store a job and publish it once the transaction has committed.

    Raises
    ------
    SubmissionRefusedError, OtherStudyError
        ``request-invalid`` or a code of :mod:`gcp_side.labseg.jobs.selection`; nothing was stored.
    ConfirmationNeededError
        Something speaks against the series that ``confirm`` does not cover; nothing was stored.
    OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
        Orthanc or the queue cannot be used; nothing was stored.
    """
    job = _new_job(submission, orthanc=orthanc)
    with transaction.atomic(using=database()):
        _store(job)
    return job


def _new_job(submission: Submission, *, orthanc: Orthanc) -> Job:
    """A job whose series have been checked; not stored."""
    conf = get_conf()
    get_bucket()
    profile = submission.profile or conf.usual_profile
    roles = roles_of(profile, conf, submission.roles)
    selection = select(submission.series_ids, roles, orthanc)
    if submission.study_id not in (None, selection.study_id):
        raise OtherStudyError.of(f"The series for {roles[0]}")
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


def _labels_of(submission: Submission, profile: str, conf: Conf) -> list[str]:
    """Sorted, each once: the same request makes the same manifest."""
    given = submission.labels
    return sorted(set(conf.default_labels.get(profile, ()) if given is None else given))


def _series_column(selection: Selection) -> list[dict[str, Any]]:
    return [
        {
            "role": role,
            "orthanc_id": info.orthanc_id,
            "series_instance_uid": info.series_instance_uid,
            "expected_instances": info.instances,
            **({} if part is None else {"part": part.model_dump(mode="json")}),
        }
        for role, info, part in zip(selection.roles, selection.series, selection.parts, strict=True)
    ]


def _check_manifest(job: Job) -> None:
    """Refuse what no manifest may hold: a profile's name, a role, a priority, a label."""
    try:
        manifest_of(job)
    except ValidationError as error:
        raise SubmissionRefusedError(
            f"The request is not valid: {describe_first_error(error, JobManifest)}.",
            code="request-invalid",
        ) from None


def _who(submission: Submission) -> str:
    """Who confirms: the user, or the command, which knows none."""
    user = submission.requested_by
    return "manage.py" if user is None else str(user.get_username())[:LONGEST_USER_NAME]


def _store(job: Job) -> None:
    """Store a new job, and publish it once the surrounding transaction has committed."""
    insert(job)
    transaction.on_commit(partial(publish_or_leave, job), using=database())


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What :func:`retry` found or did."""

    job: Job
    """The new job, or the one that tries the same again already."""
    is_new: bool


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
    SubmissionRefusedError
        ``parts-changed``: a series has other volumes by now.
    SubmissionRefusedError, ConfirmationNeededError, StoreUnavailableError
        And what else :func:`submit` raises; nothing was stored.
    """
    old = read_through(find(job_id))
    _check_may_retry(old, force=force)
    known = _open_retry(old)
    if known is not None:
        return Retried(job=known, is_new=False)
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
    _check_same_parts(old, job)
    job.retry_of = old
    with transaction.atomic(using=database()):
        # Two retries at once: the second one waits here for the first.
        Job.objects.select_for_update().get(pk=old.pk)
        known = _open_retry(old)
        if known is None:
            _store(job)
    return Retried(job=known or job, is_new=known is None)


def _check_same_parts(old: Job, new: Job) -> None:
    """Refuse a retry whose volumes may be others: a phase that came later moves those after it."""
    if any(
        before.get("part") != after.get("part")
        for before, after in zip(old.series, new.series, strict=True)
    ):
        raise SubmissionRefusedError(
            "A series of the job has other volumes than when it was submitted.",
            code="parts-changed",
            remedy="Open the page of the study and choose the phases again.",
        )


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


def cancel(job_id: str) -> Job:
    """Cancel a job; the row returned shows what holds, the cancellation or an earlier end.

    The wish is stored first: where the bucket does not answer, a later reading of it (by
    :func:`sync_all` or :func:`refresh`) carries it out before anything else.

    Raises
    ------
    JobNotFoundError
    StoreUnavailableError
        The wish is stored if the job is open; nothing else was done.
    """
    job = find(job_id)
    if not job.is_open:
        read_through(job)
    if job.is_open:
        request_cancel(job)
    for _ in range(CANCEL_TRIES):
        if job.is_open:
            read_through(job)
    return job
