"""What the hospital's site does with the queue: submit, cancel, find out."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from segrelay import names
from segrelay.bucket import Bucket, JoinedOperations
from segrelay.bucket.sealed import demands_signatures
from segrelay.errors import (
    ManifestRejectedError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRefusedError,
)
from segrelay.manifest import (
    MANIFEST_BYTES_LIMIT,
    MANIFEST_LIMITS,
    AttemptRecord,
    JobManifest,
    Rejection,
    ResultManifest,
    ResultStatus,
)
from segrelay.names import JobName
from segrelay.parsing.documents import read_document
from segrelay.parsing.json_reader import UnreadableJsonError
from segrelay.queue.claims import archive_copy, exists
from segrelay.queue.lease import HeartbeatJob, new_nonce
from segrelay.queue.records import publish_result, read_attempts, read_result
from segrelay.queue.rejections import list_rejected, read_rejection
from segrelay.queue.view import QueueView, scan
from segrelay.signing import Kind


class JobState(StrEnum):
    """Where a job is."""

    PENDING = "pending"
    """In the queue."""
    CLAIMED = "claimed"
    """An agent owns it."""
    SUCCEEDED = "succeeded"
    """It has a result with a SEG."""
    FAILED = "failed"
    """It has a result that says why not."""
    CANCELLED = "cancelled"
    """It was cancelled before it had another result."""
    REJECTED = "rejected"
    """Its manifest was set aside."""
    RESULT_UNREADABLE = "result-unreadable"
    """It has a result that this site cannot believe."""
    UNKNOWN = "unknown"
    """The bucket shows nothing of it (yet)."""


@dataclass(frozen=True, kw_only=True)
class JobLocation:
    """What the bucket says of one job."""

    state: JobState
    agent: str | None = None
    """Who owns it, while claimed."""
    attempt: int = 0
    progress: HeartbeatJob | None = None
    result: ResultManifest | None = None
    rejection: Rejection | None = None
    problem: str = ""
    """Why the result cannot be believed."""
    attempts: tuple[AttemptRecord, ...] = ()
    since: datetime | None = None
    """The store's clock when the job came into this state; None where nothing says it."""


class SiteQueue:
    """The site's side of the queue."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.submitted_at: datetime | None = None
        """The store's clock when :meth:`submit` last wrote a manifest; None where it wrote none."""

    def submit(self, manifest: JobManifest) -> JobName:
        """Publish a job; doing it twice publishes it once, and never after it has ended.

        Raises
        ------
        ObjectExistsError
            Another manifest of this job id is in the queue.
        """
        name = JobName(
            priority=manifest.priority,
            job_id=manifest.job_id,
            profile=manifest.profile,
            fence=0,
        )
        data, result = manifest.to_json(), names.result_object(manifest.job_id)
        if isinstance(self._bucket, JoinedOperations):
            created = self._bucket.create_unless(name.pending, data, other=result)
            if created is not None:
                self.submitted_at = created.since
                return name
        if exists(self._bucket, result):
            return name
        try:
            self.submitted_at = self._bucket.create(name.pending, data).since
        except ObjectExistsError:
            # Gone again when it is read: an agent has just claimed it.
            with contextlib.suppress(ObjectNotFoundError):
                if self._bucket.read(name.pending, limit=MANIFEST_BYTES_LIMIT) != data:
                    raise
        return name

    def cancel(self, job_id: str, *, now: datetime, author: str = names.SITE) -> ResultManifest:
        """Give the job the result *cancelled*, unless it has one; returns its result.

        Raises
        ------
        ManifestRejectedError
            It has a result that cannot be read; that one is kept.
        """
        standing = publish_result(
            self._bucket,
            ResultManifest(
                job_id=job_id,
                status=ResultStatus.CANCELLED,
                author=author,
                nonce=new_nonce(),
                attempt=0,
                finished_at=now,
            ),
        )
        for job in scan(self._bucket).pending:
            if job.name.job_id == job_id:
                # It has ended, whether or not its file can be moved.
                with contextlib.suppress(ObjectRefusedError):
                    archive_copy(self._bucket, job.info.name, job.name, standing.status)
        return standing

    def find(self, name: JobName, view: QueueView | None = None) -> JobLocation:
        """Where a job is, by the name that :meth:`submit` gave it.

        ``view`` is a recent listing, a new one unless given. The result is read after the
        listing, so a job that ends in between is seen as ended, never as unknown.
        """
        view = scan(self._bucket) if view is None else view
        try:
            result = read_result(self._bucket, name.job_id)
        except ManifestRejectedError as error:
            return JobLocation(
                state=JobState.RESULT_UNREADABLE,
                problem=error.message,
                since=self._written(names.result_object(name.job_id)),
            )
        if result is not None:
            return JobLocation(
                state=JobState(result.status.value),
                attempt=result.attempt,
                result=result,
                since=result.finished_at,
            )
        return self._find_live(name, view)

    def _find_live(self, name: JobName, view: QueueView) -> JobLocation:
        for claimed in view.claimed:
            if claimed.name.job_id == name.job_id:
                return JobLocation(
                    state=JobState.CLAIMED,
                    agent=_known_agent(self._bucket, claimed.agent, view),
                    attempt=claimed.name.fence,
                    progress=read_progress(self._bucket, name.job_id),
                    attempts=tuple(read_attempts(self._bucket, claimed.name)),
                    since=claimed.info.since,
                )
        for pending in view.pending:
            if pending.name.job_id == name.job_id:
                return JobLocation(
                    state=JobState.PENDING,
                    attempt=pending.name.fence,
                    attempts=tuple(read_attempts(self._bucket, pending.name)),
                    since=pending.info.since,
                )
        return self._find_rejected(name)

    def _find_rejected(self, name: JobName) -> JobLocation:
        for job in list_rejected(self._bucket, f"{name.priority}-{name.job_id}"):
            rejection = read_rejection(self._bucket, job)
            since = job.info.since if rejection is None else rejection.rejected_at
            return JobLocation(state=JobState.REJECTED, rejection=rejection, since=since)
        return JobLocation(state=JobState.UNKNOWN)

    def _written(self, name: str) -> datetime | None:
        try:
            return self._bucket.stat(name).since
        except (ObjectNotFoundError, ObjectRefusedError):
            return None


def _known_agent(bucket: Bucket, agent: str, view: QueueView) -> str | None:
    """Who owns a claim; with keys None where no heartbeat but only a folder's name says so."""
    is_believed = agent in view.agents or not demands_signatures(bucket, Kind.HEARTBEAT)
    return agent if is_believed else None


def read_progress(bucket: Bucket, job_id: str) -> HeartbeatJob | None:
    """How far a job is, as its agent last wrote; None where nothing readable says it."""
    try:
        data = bucket.read(names.progress_object(job_id), limit=MANIFEST_BYTES_LIMIT)
        progress = read_document(HeartbeatJob, data, MANIFEST_LIMITS)
    except (ObjectNotFoundError, UnreadableJsonError, ManifestRejectedError):
        return None
    return progress if progress.job_id == job_id else None
