"""An operator's moves: cancels a job, or requeues one that is stuck.

Only the lab's commands use it; it stays beside claims and reaper because its moves are theirs, of
the one state machine that the model test explores. A job called off gets the result *cancelled*;
a job brought back is moved into ``pending/`` from wherever it is stuck:

=================  ==============================================================
it is …            bringing it back means
=================  ==============================================================
rejected           the rejection becomes an attempt's record, then it is moved
claimed, dead      what the reaper does: recorded as lost, moved
claimed, alive     only with force: recorded as lost, moved; its owner finds out
pending, waiting   moved on by one claim number, to which no ``not_before`` belongs
pending            nothing
ended              refused: a job has one result; it is run again as a new job
=================  ==============================================================

Documents are written before the move, but for the record of a waiting job: until the move
is won its number may still become that of a real attempt. Every step can be repeated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from segrelay import names
from segrelay.bucket import Bucket, ObjectInfo
from segrelay.errors import (
    ManifestRejectedError,
    NotFoundError,
    ObjectNotFoundError,
    PermanentError,
    PreconditionFailedError,
)
from segrelay.manifest import AttemptOutcome, AttemptRecord, Rejection, ResultStatus
from segrelay.names import JobName
from segrelay.queue.claims import archive_copy, move_or_drop_duplicate, wins_move
from segrelay.queue.lease import Heartbeat, Identity, store_now
from segrelay.queue.reaper import Reaper, counts_unknown
from segrelay.queue.records import read_attempt, read_result, recorded_attempts, write_attempt
from segrelay.queue.rejections import RejectedJob, list_rejected, read_rejection
from segrelay.queue.site import JobState, SiteQueue
from segrelay.queue.view import ClaimedJob, PendingJob, QueueView, scan
from segrelay.stages import Stage
from segrelay.ulid import is_ulid

TRIES = 3
"""Listings before a job is called unknown: it may move while it is being listed."""


class JobUnknownError(NotFoundError):
    """The queue holds nothing of a job of this id."""

    code = "job-unknown"
    remedy = "Check the id; lab-agent queue shows the live jobs, manage.py labseg list all."


class JobEndedError(PermanentError):
    """The job has its one result."""

    code = "job-has-result"


class JobInWorkError(PermanentError):
    """A living agent works on the job."""

    code = "job-in-work"


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """What a cancellation found or did."""

    job_id: str
    state: JobState
    """How the job has ended: ``cancelled``, or what it was before this came."""
    author: str = ""
    """Who wrote the job's result; empty where it has none or cannot be read."""
    agent: str | None = None
    """Who had the job in work; it stops before the next inference or upload."""


@dataclass(frozen=True, kw_only=True)
class Requeued:
    """What bringing a job back found or did."""

    job_id: str
    was: JobState
    """Where the job was."""
    state: JobState
    """Where it is now; ``failed`` when this was the last attempt it had."""
    changed: bool
    """Whether anything was moved."""
    agent: str | None = None
    """From whom it was taken."""
    forced: bool = False
    """Whether that agent was alive."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Everything that the bucket holds of one job."""

    view: QueueView
    claimed: tuple[ClaimedJob, ...]
    pending: tuple[PendingJob, ...]
    rejected: tuple[tuple[JobName, RejectedJob], ...]
    ended: JobState | None
    author: str

    @property
    def is_live(self) -> bool:
        return bool(self.claimed or self.pending)


class OperatorQueue:
    """An operator's side of the queue.

    Parameters
    ----------
    bucket:
        The queue.
    who:
        Whose act this is: the agent id of the computer at which the operator sits, or ``site``.
    is_dead:
        Whether a process certainly ended, as the reaper asks.
    """

    def __init__(self, bucket: Bucket, who: str, *, is_dead: Callable[[Identity], bool]) -> None:
        self._bucket = bucket
        self._who = who
        self._is_dead = is_dead

    def cancel(self, job_id: str) -> Cancelled:
        """Give the job the result *cancelled*, unless it has ended.

        Raises
        ------
        JobUnknownError
            Nothing was written: a mistyped id makes no result.
        """
        place = self._locate(job_id)
        state, author = place.ended, place.author
        if place.is_live:
            # Also for a job that has ended: copies of it that still wait are archived.
            state, author = self._write_cancelled(job_id)
        return Cancelled(
            job_id=job_id,
            state=JobState.REJECTED if state is None else state,
            author=author,
            agent=place.claimed[0].agent if place.claimed else None,
        )

    def requeue(self, job_id: str, *, force: bool = False) -> Requeued:
        """Bring a job without a result back into the queue.

        Raises
        ------
        JobUnknownError
        JobEndedError
            It has a result.
        JobInWorkError
            Its owner is alive; ``force`` takes the job from it.
        """
        place = self._locate(job_id)
        if place.ended is not None:
            raise JobEndedError(
                f"Job {job_id} has ended: {place.ended.value}.",
                remedy=f"Run it again as a new job: manage.py labseg retry {job_id}",
            )
        if place.claimed:
            done = self._take_back(place, force=force)
        elif place.pending:
            done = self._hurry(place.pending[0])
        else:
            done = self._put_back(*place.rejected[0])
        return self._as_it_is_now(done)

    def _locate(self, job_id: str) -> _Place:
        if not is_ulid(job_id):
            raise JobUnknownError(
                f"{job_id!r} is not a job id.",
                code="job-id",
                remedy="A job id has 26 characters, as lab-agent queue prints them.",
            )
        for _ in range(TRIES):
            place = self._look(job_id)
            if place.is_live or place.rejected or place.ended is not None:
                return place
        raise JobUnknownError(f"The queue knows no job {job_id}.")

    def _look(self, job_id: str) -> _Place:
        view = scan(self._bucket)
        rejected = list_rejected(self._bucket)
        # Last: a job that ends meanwhile is seen as ended, never as unknown.
        ended, author = self._end_of(job_id)
        return _Place(
            view=view,
            claimed=tuple(item for item in view.claimed if item.name.job_id == job_id),
            pending=tuple(item for item in view.pending if item.name.job_id == job_id),
            rejected=tuple(
                (item.name, item)
                for item in rejected
                if item.name is not None and item.name.job_id == job_id
            ),
            ended=ended,
            author=author,
        )

    def _end_of(self, job_id: str) -> tuple[JobState | None, str]:
        try:
            result = read_result(self._bucket, job_id)
        except ManifestRejectedError:
            return JobState.RESULT_UNREADABLE, ""
        return (None, "") if result is None else (JobState(result.status.value), result.author)

    def _write_cancelled(self, job_id: str) -> tuple[JobState, str]:
        site = SiteQueue(self._bucket)
        try:
            standing = site.cancel(job_id, now=self._now(), author=self._who)
        except ManifestRejectedError:
            return JobState.RESULT_UNREADABLE, ""
        return JobState(standing.status.value), standing.author

    def _take_back(self, place: _Place, *, force: bool) -> Requeued:
        now = self._now()
        # No agent is called as the site: so nobody's claims are left out.
        reaper = Reaper(self._bucket, names.SITE, now=lambda: now, is_dead=self._is_dead)
        lost = reaper.reap(replace(place.view, claimed=place.claimed))
        held = [claim for claim in place.claimed if claim not in lost]
        for claim in held:
            seen = place.view.agents.get(claim.agent)
            heartbeat = None if seen is None else seen.heartbeat
            if not force:
                raise _in_work(claim, heartbeat)
            write_attempt(self._bucket, self._taken(claim, heartbeat, now))
            reaper.recover_claim(claim, heartbeat)
        return Requeued(
            job_id=place.claimed[0].name.job_id,
            was=JobState.CLAIMED,
            state=JobState.PENDING,
            changed=True,
            agent=place.claimed[0].agent,
            forced=bool(held),
        )

    def _taken(
        self, claim: ClaimedJob, heartbeat: Heartbeat | None, now: datetime
    ) -> AttemptRecord:
        shown = None if heartbeat is None else heartbeat.job(claim.name.job_id, claim.name.fence)
        stage = Stage.CLAIMED if shown is None else shown.stage
        return AttemptRecord(
            job_id=claim.name.job_id,
            attempt=claim.name.fence,
            agent=claim.agent,
            outcome=AttemptOutcome.LOST,
            code="taken-by-operator",
            reason=f"An operator at {self._who} took the job from agent {claim.agent}, which was "
            f"still beating (stage: {stage}).",
            started=counts_unknown(self._bucket)
            if heartbeat is None
            else bool(shown and shown.started),
            recorded_at=now,
        )

    def _hurry(self, job: PendingJob) -> Requeued:
        """End the wait of a job that was handed back or has failed a moment ago."""
        self._forget_old_reason(job)
        done = Requeued(
            job_id=job.name.job_id, was=JobState.PENDING, state=JobState.PENDING, changed=False
        )
        last = read_attempt(self._bucket, job.name.job_id, job.name.fence)
        if last is None or last.not_before is None:
            return done
        now = self._now()
        renumbered = job.name.next_claim.pending
        if last.not_before <= now or not wins_move(self._bucket, job.info, renumbered):
            return done
        write_attempt(
            self._bucket,
            AttemptRecord(
                job_id=job.name.job_id,
                attempt=job.name.fence + 1,
                agent=self._who,
                outcome=AttemptOutcome.HANDED_BACK,
                code="hurried-by-operator",
                reason=f"An operator at {self._who} ended the wait after attempt {last.attempt}.",
                started=False,
                recorded_at=now,
            ),
        )
        return replace(done, changed=True)

    def _put_back(self, name: JobName, rejected: RejectedJob) -> Requeued:
        record = self._rejected_attempt(name, read_rejection(self._bucket, rejected))
        write_attempt(self._bucket, record)
        move_or_drop_duplicate(
            self._bucket, rejected.info.name, replace(name, fence=record.attempt).pending
        )
        if rejected.reason is not None:
            self._forget(rejected.reason)
        return Requeued(
            job_id=name.job_id, was=JobState.REJECTED, state=JobState.PENDING, changed=True
        )

    def _rejected_attempt(self, name: JobName, rejection: Rejection | None) -> AttemptRecord:
        """The attempt that ended in the rejection: archives do not say its number."""
        highest = self._highest_attempt(name.job_id)
        last = read_attempt(self._bucket, name.job_id, highest) if highest else None
        if rejection is None:
            code, why, agent, at = "rejected", "(its reason is gone)", self._who, self._now()
        else:
            code, why = rejection.code, rejection.reason
            agent, at = rejection.agent, rejection.rejected_at
        # Written already, by a command that broke off before the move?
        again = last is not None and (last.code, last.recorded_at) == (code, at)
        return AttemptRecord(
            job_id=name.job_id,
            attempt=highest if again else highest + 1,
            agent=agent,
            outcome=AttemptOutcome.HANDED_BACK,
            code=code,
            reason=f"The manifest was rejected, and put back by an operator at {self._who}: {why}"[
                :2000
            ],
            started=False,
            recorded_at=at,
        )

    def _highest_attempt(self, job_id: str) -> int:
        """The greatest claim number of which a record exists; 0 for none."""
        return max(recorded_attempts(self._bucket, job_id), default=0)

    def _forget_old_reason(self, job: PendingJob) -> None:
        """Finish a command that broke off right after it had put this job back."""
        try:
            reason = self._bucket.stat(names.reason_object(job.name.rejected))
            # Still waiting: then that reason is older than whatever becomes of it next.
            self._bucket.stat(job.info.name)
        except ObjectNotFoundError:
            return
        self._forget(reason)

    def _forget(self, reason: ObjectInfo) -> None:
        """The attempt's record says it now; the reason of a newer rejection stays."""
        with contextlib.suppress(ObjectNotFoundError, PreconditionFailedError):
            self._bucket.delete(reason.name, generation=reason.generation)

    def _as_it_is_now(self, done: Requeued) -> Requeued:
        """Archive the job if it was called off meanwhile, or had no attempt left."""
        ended, _ = self._end_of(done.job_id)
        if ended is None:
            return done
        status = (
            ResultStatus.FAILED
            if ended is JobState.RESULT_UNREADABLE
            else ResultStatus(ended.value)
        )
        for job in scan(self._bucket).pending:
            if job.name.job_id == done.job_id:
                archive_copy(self._bucket, job.info.name, job.name, status)
        return replace(done, state=ended)

    def _now(self) -> datetime:
        return store_now(self._bucket, self._who)


def _in_work(claim: ClaimedJob, heartbeat: Heartbeat | None) -> JobInWorkError:
    shown = None if heartbeat is None else heartbeat.job(claim.name.job_id, claim.name.fence)
    doing = "has claimed it" if shown is None else f"works on it (stage: {shown.stage})"
    return JobInWorkError(
        f"Job {claim.name.job_id} is in living hands: agent {claim.agent} {doing}.",
        remedy="Wait; cancel it to call it off; or take it away with --force if the agent hangs.",
    )
