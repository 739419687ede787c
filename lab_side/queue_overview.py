"""The live queue for operators: one listing, and the documents beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from segrelay import names
from segrelay.bucket import Bucket
from segrelay.errors import ManifestRejectedError, ObjectRefusedError
from segrelay.manifest import AttemptRecord
from segrelay.queue.lease import HeartbeatJob, Life, is_silent, store_now
from segrelay.queue.records import read_attempt, read_result
from segrelay.queue.rejections import RejectedJob, list_rejected, read_rejection
from segrelay.queue.site import JobState, read_progress
from segrelay.queue.view import AgentHeartbeat, ClaimedJob, PendingJob, scan
from segrelay.stages import Stage

REJECTED_SHOWN = 20
"""Newest rejections shown in full: their folder is an archive and may grow."""

UNUSABLE_SHOWN = 50
"""Objects that are passed over and named; the others are counted."""

T = TypeVar("T")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class AgentOverview(_Part):
    """An agent, as its last heartbeat reports."""

    agent: str
    state: str
    """As :class:`segrelay.queue.Heartbeat` has it."""
    reason: str
    device: str
    host: str
    version: str
    profiles: tuple[str, ...]
    labels: tuple[str, ...]
    beat_age_seconds: float
    """By the store's clock."""
    lease_over: bool
    """Whether it has been silent for longer than its lease: its claims are taken from it."""

    passed_over: tuple[str, ...] = ()
    """Objects that the store does not let it move or read, each with the reason."""


class ClaimOverview(_Part):
    """A job that an agent owns."""

    job_id: str
    priority: int
    profile: str
    agent: str
    attempt: int
    stage: str
    percent: int
    """0..100 of the stage."""
    done: int
    total: int
    """Instances, in a stage that counts them."""
    owner_alive: bool
    ended: JobState | None
    """How the job has ended already (a cancellation, mostly): its owner has yet to notice."""


class PendingOverview(_Part):
    """A job that waits."""

    job_id: str
    priority: int
    profile: str
    claims: int
    """How often it has been claimed."""
    not_before: datetime | None
    """The store's clock; None where it may be claimed now."""
    last_attempt: AttemptRecord | None
    served: bool
    """Whether a living agent has the profile, and the labels as far as they are known."""


class RejectedOverview(_Part):
    """A manifest that was set aside."""

    file: str
    job_id: str | None
    """None where the name is not a job's."""
    code: str
    reason: str
    remedy: str
    agent: str
    rejected_at: datetime | None


class QueueOverview(_Part):
    """The queue at one moment; a job may have moved while it was listed."""

    queue: str
    """The store's address."""
    store_time: datetime
    agents: tuple[AgentOverview, ...]
    claimed: tuple[ClaimOverview, ...]
    pending: tuple[PendingOverview, ...]
    """In the order of service."""
    misnamed: tuple[str, ...]
    """Objects in ``pending/`` that are no jobs; the next agent that scans rejects them."""
    rejected: tuple[RejectedOverview, ...]
    """The newest, at most :data:`REJECTED_SHOWN`."""
    rejected_total: int
    odd: tuple[str, ...] = ()
    """Objects that the queue cannot use and passes over, each with the reason; at most
    :data:`UNUSABLE_SHOWN`."""
    odd_total: int = 0


def overview_of(bucket: Bucket, who: str) -> QueueOverview:
    """Read the queue; nothing is written but a heartbeat object of ``who``, to learn the time.

    Raises
    ------
    StoreUnavailableError
    """
    view = scan(bucket)
    now = store_now(bucket, who)
    unusable = _UnusableLines()
    for item in view.unusable:
        unusable.lines.append(item.in_words)
    agents = {name: _agent(seen, now) for name, seen in sorted(view.agents.items())}
    alive = [
        agents[name]
        for name, seen in view.agents.items()
        if seen.heartbeat.life(seen.updated, lambda: now) is Life.RUNNING
    ]
    rejected = list_rejected(bucket)
    claimed = tuple(
        _claim(
            bucket, job, view.agents, unusable, owner_alive=job.agent in {a.agent for a in alive}
        )
        for job in view.claimed
    )
    pending = tuple(_pending(bucket, job, now, alive, unusable) for job in view.pending)
    newest = sorted(rejected, key=_rejection_time, reverse=True)[:REJECTED_SHOWN]
    set_aside = tuple(_rejected(bucket, job, unusable) for job in newest)
    return QueueOverview(
        queue=bucket.describe(),
        store_time=now,
        agents=tuple(agents.values()),
        claimed=claimed,
        pending=pending,
        misnamed=tuple(names.as_shown(info.name) for info in view.misnamed),
        rejected=set_aside,
        rejected_total=len(rejected),
        odd=tuple(unusable.lines[:UNUSABLE_SHOWN]),
        odd_total=len(unusable.lines),
    )


class _UnusableLines:
    """Documents that the store refuses one by one: named, and taken for missing."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def read(self, read: Callable[[], T | None]) -> T | None:
        try:
            return read()
        except ObjectRefusedError as error:
            self.lines.append(error.message)
            return None


def _agent(seen: AgentHeartbeat, now: datetime) -> AgentOverview:
    age = now - seen.updated
    return AgentOverview(
        agent=seen.agent,
        state=seen.heartbeat.state,
        reason=seen.heartbeat.reason,
        device=seen.heartbeat.device,
        host=seen.heartbeat.identity.host,
        version=seen.heartbeat.version,
        profiles=seen.heartbeat.profiles,
        labels=seen.heartbeat.labels,
        # A heartbeat during the listing may be younger than the time asked for after it.
        beat_age_seconds=round(max(0.0, age.total_seconds()), 1),
        lease_over=is_silent(seen.updated, now),
        passed_over=seen.heartbeat.passed_over,
    )


def _claim(
    bucket: Bucket,
    job: ClaimedJob,
    agents: Mapping[str, AgentHeartbeat],
    unusable: _UnusableLines,
    *,
    owner_alive: bool,
) -> ClaimOverview:
    reported = unusable.read(lambda: _progress(bucket, job, agents.get(job.agent)))
    progress = reported or HeartbeatJob(
        job_id=job.name.job_id, attempt=job.name.fence, stage=Stage.CLAIMED
    )
    return ClaimOverview(
        job_id=job.name.job_id,
        priority=job.name.priority,
        profile=job.name.profile,
        agent=job.agent,
        attempt=job.name.fence,
        stage=progress.stage,
        percent=progress.percent,
        done=progress.done,
        total=progress.total,
        owner_alive=owner_alive,
        ended=unusable.read(lambda: _ended(bucket, job.name.job_id)),
    )


def _progress(bucket: Bucket, job: ClaimedJob, owner: AgentHeartbeat | None) -> HeartbeatJob | None:
    """Read the progress of this attempt; that of an earlier one is not shown."""
    progress = read_progress(bucket, job.name.job_id)
    if progress is not None and progress.attempt == job.name.fence:
        return progress
    return None if owner is None else owner.heartbeat.job(job.name.job_id, job.name.fence)


def _ended(bucket: Bucket, job_id: str) -> JobState | None:
    try:
        result = read_result(bucket, job_id)
    except ManifestRejectedError:
        return JobState.RESULT_UNREADABLE
    return None if result is None else JobState(result.status.value)


def _pending(
    bucket: Bucket,
    job: PendingJob,
    now: datetime,
    alive: Sequence[AgentOverview],
    unusable: _UnusableLines,
) -> PendingOverview:
    last = None
    if job.name.fence:
        last = unusable.read(lambda: read_attempt(bucket, job.name.job_id, job.name.fence))
    not_before = None if last is None else last.not_before
    labels = () if last is None else last.labels
    return PendingOverview(
        job_id=job.name.job_id,
        priority=job.name.priority,
        profile=job.name.profile,
        claims=job.name.fence,
        not_before=None if not_before is None or not_before <= now else not_before,
        last_attempt=last,
        served=any(
            job.name.profile in agent.profiles and set(labels) <= set(agent.labels)
            for agent in alive
        ),
    )


def _rejected(bucket: Bucket, job: RejectedJob, unusable: _UnusableLines) -> RejectedOverview:
    rejection = unusable.read(lambda: read_rejection(bucket, job))
    return RejectedOverview(
        file=names.as_shown(job.info.name.removeprefix(names.REJECTED)),
        job_id=None if job.name is None else job.name.job_id,
        code="" if rejection is None else rejection.code,
        reason="" if rejection is None else rejection.reason,
        remedy="" if rejection is None else rejection.remedy,
        agent="" if rejection is None else rejection.agent,
        rejected_at=None if rejection is None else rejection.rejected_at,
    )


def _rejection_time(job: RejectedJob) -> datetime:
    # A moved manifest may keep its age; its reason is written at the rejection.
    return (job.info if job.reason is None else job.reason).updated
