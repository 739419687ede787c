"""What an agent does with a job: claim, open, finish, archive, hand back, fail, reject.

Every step survives a crash before, within and after it: documents are written first and
the job's name is moved last, each move is conditional, and a step done twice changes
nothing the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from segrelay import names, retry
from segrelay.bucket import Bucket, JoinedOperations, MovedObject, ObjectInfo
from segrelay.errors import (
    ManifestRejectedError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRefusedError,
    PreconditionFailedError,
    SegRelayError,
)
from segrelay.manifest import (
    MANIFEST_BYTES_LIMIT,
    AttemptOutcome,
    AttemptRecord,
    JobManifest,
    Rejection,
    ResultManifest,
    ResultStatus,
    check_labels,
    parse_job_manifest,
    schema_for,
)
from segrelay.names import JobName
from segrelay.queue.lease import new_nonce
from segrelay.queue.records import (
    confirm_unreadable,
    failure_from_attempts,
    publish_result,
    read_attempt,
    read_attempts,
    read_result,
    read_result_status,
    write_attempt,
)
from segrelay.queue.unusable import PassedOver, UnusableObject
from segrelay.queue.view import PendingJob, QueueView

FREE_REPEATS = 6
"""Attempts in a row that end with one trouble of the job's own before it counts: with the pauses
between them, a quarter of an hour, which a proxy before a server may need to come back."""

DEFAULT_MAX_ATTEMPTS = 3
"""Used when the manifest cannot be read; the next agent to claim it will reject it."""

LONGEST_WAIT = timedelta(hours=1)
"""A record that asks for more asks for nothing: the longest pause of an agent is 22 minutes."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A job in this agent's hands."""

    name: JobName
    """``name.fence`` is the number of this attempt."""
    agent: str

    @property
    def object_name(self) -> str:
        """Where the manifest lies while claimed."""
        return self.name.claimed_by(self.agent)

    @property
    def job_id(self) -> str:
        """The job's ULID."""
        return self.name.job_id

    @property
    def attempt(self) -> int:
        """1 for the first claim."""
        return self.name.fence


class AgentQueue:
    """The agent's side of the queue; ``labels`` are the agent's own."""

    def __init__(
        self,
        bucket: Bucket,
        agent: str,
        *,
        now: Callable[[], datetime],
        labels: Collection[str] = (),
    ) -> None:
        self._bucket = bucket
        self._agent = agent
        self._labels = frozenset(labels)
        self._passed_over = PassedOver()
        self._asked: dict[str, tuple[str, ...]] = {}
        """Labels that jobs in hand ask for, by the claim's object; only where they ask for any."""
        self._brought: dict[str, MovedObject] = {}
        """What claims brought along, by their objects, until they are opened."""
        self.now = now

    def may_claim(self, job: PendingJob) -> bool:
        """Whether the job's last attempt lets this agent claim now.

        It may ask to wait longer (its ``not_before``), or for labels that the agent lacks.
        """
        if job.name.fence == 0:
            return True
        last = read_attempt(self._bucket, job.name.job_id, job.name.fence)
        if last is None:
            return True
        # Anybody may have written the record: it holds a job back for some time, never for ever.
        wait = timedelta(0) if last.not_before is None else last.not_before - self.now()
        is_due = not timedelta(0) < wait <= LONGEST_WAIT
        return is_due and self._labels.issuperset(last.labels)

    def claim(self, job: PendingJob) -> Claim | None:
        """Rename the job into this agent's folder; None when another was first."""
        claim = Claim(name=job.name.next_claim, agent=self._agent)
        won = self._move_and_read(job, claim) or wins_move(
            self._bucket, job.info, claim.object_name
        )
        return claim if won else None

    def _move_and_read(self, job: PendingJob, claim: Claim) -> bool:
        """Claim and read at once, where the store can; whether it is claimed."""
        if not isinstance(self._bucket, JoinedOperations):
            return False
        moved = self._bucket.move_and_read(
            job.info.name,
            claim.object_name,
            generation=job.info.generation,
            limit=MANIFEST_BYTES_LIMIT,
            other=names.result_object(claim.job_id),
        )
        if moved is not None:
            self._brought[claim.object_name] = moved
        return moved is not None

    def try_claim(self, job: PendingJob) -> Claim | None:
        """Claim the job if it may be claimed now; None as well where the store refuses its file.

        A job whose file cannot be moved or read (another account's in a sticky folder) is
        passed over for ten minutes; :attr:`passed_over` names it.
        """
        name = job.info.name
        if not self._passed_over.is_due(name):
            return None
        try:
            claim = self.claim(job) if self.may_claim(job) else None
        except ObjectRefusedError as error:
            self._passed_over.note(name, error)
            return None
        self._passed_over.forget(name)
        return claim

    @property
    def passed_over(self) -> tuple[UnusableObject, ...]:
        """Objects in ``pending/`` that the store does not let this agent move."""
        return self._passed_over.objects

    def open(self, claim: Claim) -> JobManifest | None:
        """Read the manifest of a claimed job; None (and archived) when it has a result.

        Where the store brought both along with the claim, the first call asks nothing: what
        happened since then is seen by the next one.

        Raises
        ------
        ManifestRejectedError
            The manifest cannot be believed; pass the error to :meth:`reject`.
        TransientError
            ``labels``: it asks for labels that this agent lacks.
        ObjectNotFoundError
            The claim is gone: another process took it for dead.
        """
        try:
            brought = self._brought.pop(claim.object_name, None)
            data = (
                self._bucket.read(claim.object_name, limit=MANIFEST_BYTES_LIMIT)
                if brought is None
                else brought.data
            )
            if (brought is None or brought.has_other) and self._archive_if_ended(claim):
                return None
            manifest = parse_job_manifest(data)
        except ManifestRejectedError:
            confirm_unreadable(
                self._bucket,
                claim.object_name,
                limit=MANIFEST_BYTES_LIMIT,
                parse=parse_job_manifest,
            )
            raise
        named = (manifest.job_id, manifest.profile, manifest.priority)
        if named != (claim.name.job_id, claim.name.profile, claim.name.priority):
            raise ManifestRejectedError(
                "The manifest's job id, profile or priority disagrees with its object name.",
                code="name-mismatch",
            )
        if manifest.labels:
            self._asked[claim.object_name] = manifest.labels
        check_labels(manifest, self._labels)
        return manifest

    def result(self, job_id: str) -> ResultManifest | None:
        """The job's result, if it has one."""
        return read_result(self._bucket, job_id)

    def finish(self, claim: Claim, result: ResultManifest) -> ResultManifest:
        """Publish the result and archive the job; returns the job's valid result."""
        if self._finish_at_once(claim, result):
            return result
        standing = publish_result(self._bucket, result)
        self.archive(claim, standing.status)
        return standing

    def _finish_at_once(self, claim: Claim, result: ResultManifest) -> bool:
        """Publish and archive together, where the store can; whether that is done."""
        if not isinstance(self._bucket, JoinedOperations):
            return False
        try:
            is_done = self._bucket.create_and_move(
                names.result_object(claim.job_id),
                result.to_json(),
                source=claim.object_name,
                destination=archive_name(claim.name, result.status),
                other=claim.name.rejected,
            )
        except ObjectRefusedError:
            # One of the four cannot be used: the result is published all the same, if it can be.
            return False
        if is_done:
            self._forget(claim)
        return is_done

    def archive(self, claim: Claim, status: ResultStatus) -> None:
        """Move an ended job out of the live queue."""
        archive_copy(self._bucket, claim.object_name, claim.name, status)
        self._forget(claim)

    def _forget(self, claim: Claim) -> tuple[str, ...]:
        """Keep nothing of a claim that is over; returns the labels that its job asks for."""
        self._brought.pop(claim.object_name, None)
        return self._asked.pop(claim.object_name, ())

    def hand_back(
        self, claim: Claim, error: SegRelayError, *, started: bool, wait: timedelta
    ) -> None:
        """Return the job unharmed; the attempt does not count."""
        now, labels = self.now(), self._forget(claim)
        record = AttemptRecord(
            schema_version=schema_for(labels),
            labels=labels,
            job_id=claim.job_id,
            attempt=claim.attempt,
            agent=self._agent,
            outcome=AttemptOutcome.HANDED_BACK,
            code=error.code,
            reason=error.message,
            started=started,
            recorded_at=now,
            not_before=now + wait if wait else None,
        )
        write_attempt(self._bucket, record)
        move_or_drop_duplicate(self._bucket, claim.object_name, claim.name.pending)

    def hand_back_or_fail(
        self, claim: Claim, error: SegRelayError, *, wait: timedelta
    ) -> ResultManifest | None:
        """Return a job that met a trouble which may be its own: at first it does not count.

        After :data:`FREE_REPEATS` attempts in a row that ended with the very same code and
        reason, each further one counts. Returns as :meth:`fail_attempt`.
        """
        before = replace(claim.name, fence=claim.attempt - 1)
        last = read_attempts(self._bucket, before)[-FREE_REPEATS:]
        same = [item for item in last if (item.code, item.reason) == (error.code, error.message)]
        if len(same) == FREE_REPEATS:
            return self.fail_attempt(claim, error, started=True)
        self.hand_back(claim, error, started=False, wait=wait)
        return None

    def fail_attempt(
        self,
        claim: Claim,
        error: SegRelayError,
        *,
        started: bool,
        max_attempts: int | None = None,
    ) -> ResultManifest | None:
        """Record a failed attempt; the job goes back, or ends when its attempts are used up.

        ``started``: whether it counts. ``max_attempts`` is the manifest's, which is read unless
        given. Returns the job's result when the job has ended, else None.
        """
        if max_attempts is None:
            max_attempts = read_max_attempts(self._bucket, claim.object_name)
        now, labels = self.now(), self._forget(claim)
        record = AttemptRecord(
            schema_version=schema_for(labels),
            labels=labels,
            job_id=claim.job_id,
            attempt=claim.attempt,
            agent=self._agent,
            outcome=AttemptOutcome.FAILED,
            code=error.code,
            reason=error.message,
            started=started,
            recorded_at=now,
            not_before=now + timedelta(seconds=retry.FAILED_ATTEMPT.pause(claim.attempt - 1)),
        )
        return close_attempt(self._bucket, claim.name, claim.object_name, record, max_attempts)

    def reject(self, claim: Claim, error: ManifestRejectedError) -> None:
        """Set an unreadable manifest aside, its reason beside it, its bytes unchanged."""
        self._reject(claim.object_name, claim.name.rejected, error)
        result = read_result_status(self._bucket, claim.job_id)
        if result is not None:
            # Called off meanwhile: its doubled submit, if it had one, lies in the archive.
            move_or_drop_duplicate(
                self._bucket, claim.name.rejected, archive_name(claim.name, result)
            )

    def reject_misnamed(self, info: ObjectInfo) -> None:
        """Set aside an object in ``pending/`` whose name is not a job's.

        It is moved before its reason is written: one that cannot be moved costs one request, and
        the next only after the pause of ``retry.UNUSABLE_OBJECT``.
        """
        if not self._passed_over.is_due(info.name):
            return
        target = names.set_aside_name(info.name)
        error = ManifestRejectedError(
            "The object's name is not <prio>-<ulid>~<profile>~<n>.json.",
            code="name-invalid",
            remedy="Submit jobs with the labseg command or the site, not by copying files.",
        )
        try:
            if not wins_move(self._bucket, info, target):
                # Gone, or its name was set aside before: then this one is deleted.
                self._bucket.stat(target)
                move_or_drop_duplicate(self._bucket, info.name, target)
            self._write_reason(target, error)
        except (ObjectRefusedError, ObjectNotFoundError) as refusal:
            self._passed_over.note(info.name, refusal)
        else:
            self._passed_over.forget(info.name)

    def forget_moved(self, view: QueueView) -> None:
        """Forget what was passed over and is no longer in ``pending/``."""
        listed = [job.info.name for job in view.pending] + [info.name for info in view.misnamed]
        self._passed_over.keep(listed)

    def forget_progress(self, job_id: str) -> None:
        """Remove the progress of an ended job; a leftover does no harm."""
        name = names.progress_object(job_id)
        try:
            self._bucket.delete(name, generation=self._bucket.stat(name).generation)
        except (ObjectNotFoundError, PreconditionFailedError):
            return

    def _reject(self, source: str, target: str, error: ManifestRejectedError) -> None:
        self._write_reason(target, error)
        move_or_drop_duplicate(self._bucket, source, target)

    def _write_reason(self, target: str, error: ManifestRejectedError) -> None:
        rejection = Rejection(
            code=error.code,
            reason=error.message,
            remedy=error.remedy,
            agent=self._agent,
            rejected_at=self.now(),
        )
        self._bucket.replace(names.reason_object(target), rejection.to_json())

    def _archive_if_ended(self, claim: Claim) -> bool:
        status = read_result_status(self._bucket, claim.job_id)
        if status is not None:
            self.archive(claim, status)
        return status is not None


def read_max_attempts(bucket: Bucket, object_name: str) -> int:
    """How many attempts the manifest of a claimed job allows."""
    limit = MANIFEST_BYTES_LIMIT
    try:
        return parse_job_manifest(bucket.read(object_name, limit=limit)).max_attempts
    except ObjectNotFoundError:
        return DEFAULT_MAX_ATTEMPTS
    except ManifestRejectedError:
        confirm_unreadable(bucket, object_name, limit=limit, parse=parse_job_manifest)
        return DEFAULT_MAX_ATTEMPTS


def archive_name(name: JobName, status: ResultStatus) -> str:
    """Where a job with a result of this status is archived."""
    return name.failed if status is ResultStatus.FAILED else name.done


def close_attempt(
    bucket: Bucket, name: JobName, object_name: str, record: AttemptRecord, max_attempts: int
) -> ResultManifest | None:
    """Record an attempt and move the job back to pending, or end it when they are used up."""
    standing = write_attempt(bucket, record)
    records = read_attempts(bucket, name)
    if standing not in records and standing.attempt <= name.fence:
        # Something that is not believed lies in its place: this attempt was made all the same.
        records.append(standing)
    if sum(item.counts for item in records) < max_attempts:
        move_or_drop_duplicate(bucket, object_name, name.pending)
        return None
    result = publish_result(
        bucket,
        ResultManifest(
            job_id=name.job_id,
            status=ResultStatus.FAILED,
            author=record.agent,
            nonce=new_nonce(),
            attempt=name.fence,
            finished_at=record.recorded_at,
            failure=failure_from_attempts(records),
        ),
    )
    archive_copy(bucket, object_name, name, result.status)
    return result


def archive_copy(bucket: Bucket, source: str, name: JobName, status: ResultStatus) -> None:
    """Move a copy of an ended job out of the live queue.

    The copy of a doubled submit whose twin was rejected is deleted instead: the job stays in
    one place.
    """
    if not exists(bucket, name.rejected):
        move_or_drop_duplicate(bucket, source, archive_name(name, status))
        return
    try:
        _delete_duplicate(bucket, source, bucket.stat(source))
    except ObjectNotFoundError:
        return


def exists(bucket: Bucket, name: str) -> bool:
    """Whether there is an object of this name."""
    try:
        bucket.stat(name)
    except ObjectNotFoundError:
        return False
    return True


def wins_move(bucket: Bucket, source: ObjectInfo, destination: str) -> bool:
    """Rename what was listed, against others who try the same; whether this caller won."""
    try:
        bucket.move(source.name, destination, generation=source.generation)
    except (ObjectNotFoundError, PreconditionFailedError):
        # A won move whose answer was lost looks like this too: check the destination.
        return exists(bucket, destination)
    except ObjectExistsError:
        return False
    return True


def move_or_drop_duplicate(bucket: Bucket, source: str, destination: str) -> None:
    """Move an object to where it belongs; a second copy of it is deleted instead."""
    try:
        info = bucket.stat(source)
        bucket.move(source, destination, generation=info.generation)
    except (ObjectNotFoundError, PreconditionFailedError):
        return
    except ObjectExistsError:
        _delete_duplicate(bucket, source, info)


def _delete_duplicate(bucket: Bucket, source: str, info: ObjectInfo) -> None:
    try:
        bucket.delete(source, generation=info.generation)
    except (ObjectNotFoundError, PreconditionFailedError):
        return
