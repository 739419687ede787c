"""What this computer's agent does, and what waits here, whether it runs or not: for operators.

Everything is read from the agent's own folder and from its heartbeat in the queue; nothing
is written but a heartbeat object that asks for the store's time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lab_side.agent.delivery.outbox import (
    OutboxEntry,
    Trouble,
    read_entries,
    refused_folder,
    waiting_folder,
)
from lab_side.agent.folders import free_bytes
from lab_side.agent.health.control import Pause
from segrelay.bucket import Bucket
from segrelay.errors import ObjectRefusedError, SegRelayError
from segrelay.queue import Identity
from segrelay.queue.lease import HeartbeatJob, Life, store_now
from segrelay.queue.site import read_progress
from segrelay.queue.view import read_heartbeat


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class HeartbeatStatus(_Part):
    """The agent, as its last heartbeat shows it."""

    life: Life
    state: str
    reason: str
    """Why, when it does not listen."""
    device: str
    labels: tuple[str, ...]
    host: str
    version: str
    age_seconds: float
    """Of the heartbeat, by the store's clock."""
    jobs: tuple[HeartbeatJob, ...]
    passed_over: tuple[str, ...] = ()
    """Objects of the queue that the store does not let it move or read, each with the reason."""


class QueueProblem(_Part):
    """Why the queue was not asked."""

    code: str
    message: str
    remedy: str

    @classmethod
    def of(cls, error: SegRelayError) -> QueueProblem:
        """Return what an error says to operators."""
        return cls(code=error.code, message=error.message, remedy=error.remedy)


class DiskStatus(_Part):
    """The disk of the work folder."""

    folder: Path
    free_bytes: int
    watermark_bytes: int
    """Nothing is claimed with less free."""

    @property
    def is_low(self) -> bool:
        """Whether nothing is claimed for want of space."""
        return self.free_bytes < self.watermark_bytes


class SegStatus(_Part):
    """A SEG that waits, or was set aside."""

    job_id: str
    written_at: datetime
    """This computer's clock."""
    size_bytes: int
    by_hand: bool
    """Made without the queue: no job waits for it."""
    folder: Path
    trouble: Trouble | None
    """Why the last delivery failed, or why it was set aside; None where none has failed."""


class AgentStatus(_Part):
    """The status of the agent on this computer."""

    agent: str
    queue: str
    """The store's address; empty where none is configured."""
    queue_problem: QueueProblem | None
    beat: HeartbeatStatus | None
    """None where the queue was not asked, or has never heard of the agent."""
    pause: Pause | None
    """The ordered pause that holds now."""
    disk: DiskStatus
    waiting: tuple[SegStatus, ...]
    """Oldest first."""
    refused: tuple[SegStatus, ...]
    """Oldest first."""

    @property
    def needs_attention(self) -> bool:
        """Whether a delivery has failed and its SEG is still here."""
        return bool(self.refused) or any(item.trouble is not None for item in self.waiting)


def heartbeat_status(
    bucket: Bucket, agent: str, *, is_dead: Callable[[Identity], bool]
) -> HeartbeatStatus | None:
    """The agent's heartbeat; None where it has never sent one.

    Raises
    ------
    StoreUnavailableError
    """
    seen = read_heartbeat(bucket, agent)
    if seen is None:
        return None
    heartbeat = seen.heartbeat
    # A heartbeat may come between the two questions: it is then a little younger than the time.
    now = store_now(bucket, agent)
    age = max(0.0, (now - seen.updated).total_seconds())
    return HeartbeatStatus(
        life=heartbeat.life(seen.updated, lambda: now, is_dead),
        state=heartbeat.state,
        reason=heartbeat.reason,
        device=heartbeat.device,
        labels=heartbeat.labels,
        host=heartbeat.identity.host,
        version=heartbeat.version,
        age_seconds=round(age, 1),
        jobs=tuple(_newest(bucket, job) for job in heartbeat.jobs),
        passed_over=heartbeat.passed_over,
    )


def disk_status(home: Path, min_free_bytes: int) -> DiskStatus:
    """The disk of the agent's folder, whether there is one or not."""
    return DiskStatus(folder=home, free_bytes=free_bytes(home), watermark_bytes=min_free_bytes)


def seg_status(home: Path) -> tuple[tuple[SegStatus, ...], tuple[SegStatus, ...]]:
    """The SEGs that wait, and those that were set aside.

    Raises
    ------
    LocalDiskError
        The folder cannot be read.
    """
    waiting = [_seg(entry, entry.trouble) for entry in read_entries(waiting_folder(home))]
    refused = [
        _seg(entry, entry.refusal or entry.trouble) for entry in read_entries(refused_folder(home))
    ]
    return tuple(waiting), tuple(refused)


def _newest(bucket: Bucket, job: HeartbeatJob) -> HeartbeatJob:
    """What the job's own progress says: a heartbeat is up to half a minute older."""
    progress = None
    with contextlib.suppress(ObjectRefusedError):
        progress = read_progress(bucket, job.job_id)
    return job if progress is None or progress.attempt != job.attempt else progress


def _seg(entry: OutboxEntry, trouble: Trouble | None) -> SegStatus:
    return SegStatus(
        job_id=entry.draft.job_id,
        written_at=entry.draft.written_at,
        size_bytes=entry.draft.size_bytes,
        by_hand=entry.draft.claim is None,
        folder=entry.folder,
        trouble=trouble,
    )
