"""Bringing back the claims of the dead.

Any agent and the site may reap. An owner is dead when its heartbeat is older than the lease,
when it said that it stopped, or when it ran on this host and its process is gone. Nothing
breaks when the owner was alive after all: its later moves find nothing, and the first
result is kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta

from segrelay import names, retry
from segrelay.bucket import Bucket
from segrelay.bucket.sealed import demands_signatures
from segrelay.errors import ObjectRefusedError
from segrelay.manifest import AttemptOutcome, AttemptRecord
from segrelay.names import JobName
from segrelay.queue.claims import archive_copy, close_attempt, read_max_attempts
from segrelay.queue.lease import AgentState, Heartbeat, Identity, Life
from segrelay.queue.records import read_attempts, read_result_status
from segrelay.queue.unusable import PassedOver, UnusableObject
from segrelay.queue.view import ClaimedJob, QueueView, read_heartbeat
from segrelay.signing import Kind
from segrelay.stages import Stage

AGENT_LOST = "agent-lost"

NOBODY = "unknown"
"""Whom a record names where only a folder's name says who owned the claim."""

FREE_LOSSES = 5
"""So often a job may be lost before the GPU worker had it; then each further loss counts."""

LOSSES_AT_ONCE = 3
"""So many losses of a job give it back at once. Later ones wait, each job for another time: two
that were lost together are not claimed together again, and so the one that kills is found."""


def counts_unknown(bucket: Bucket) -> bool:
    """Whether an attempt counts of which no heartbeat says how far it was.

    Without keys it must, or a job that kills its agents runs for ever. With keys every agent's
    last heartbeat is signed, and a claim that it does not name was made by moving an object,
    or lasted for a second.
    """
    return not demands_signatures(bucket, Kind.HEARTBEAT)


class Reaper:
    """Recovers claims whose owner will not end them."""

    def __init__(
        self,
        bucket: Bucket,
        who: str,
        *,
        now: Callable[[], datetime],
        is_dead: Callable[[Identity], bool],
    ) -> None:
        self._bucket = bucket
        self._who = who
        self._now = now
        self._is_dead = is_dead
        self._passed_over = PassedOver()

    @property
    def passed_over(self) -> tuple[UnusableObject, ...]:
        """Claims of the dead that the store does not let this process recover."""
        return self._passed_over.objects

    def reap(self, view: QueueView) -> list[ClaimedJob]:
        """Recover the claims of every dead owner but this one; returns what was recovered."""
        self._passed_over.keep([item.info.name for item in view.claimed])
        recovered = []
        for agent in sorted({item.agent for item in view.claimed} - {self._who}):
            try:
                seen = read_heartbeat(self._bucket, agent)
            except ObjectRefusedError:
                # Whether it lives cannot be known: its claims stay.
                continue
            heartbeat = None if seen is None else seen.heartbeat
            if seen is not None and not self._is_over(seen.heartbeat, seen.updated):
                continue
            for job in (item for item in view.claimed if item.agent == agent):
                if self._try_recover(job, heartbeat):
                    recovered.append(job)
        return recovered

    def recover_own_claims(
        self, view: QueueView, previous: Heartbeat | None, *, keep: Collection[str]
    ) -> list[ClaimedJob]:
        """Recover this agent's own claims of a previous life.

        ``keep`` are the jobs whose SEG waits in the outbox: they keep their claim.
        """
        own = [
            item
            for item in view.claimed
            if item.agent == self._who and item.name.job_id not in keep
        ]
        return [job for job in own if self._try_recover(job, previous)]

    def _try_recover(self, job: ClaimedJob, heartbeat: Heartbeat | None) -> bool:
        """Recover a lost claim; False where the store refuses one of its files, for now."""
        name = job.info.name
        if not self._passed_over.is_due(name):
            return False
        try:
            self.recover_claim(job, heartbeat)
        except ObjectRefusedError as error:
            self._passed_over.note(name, error)
            return False
        self._passed_over.forget(name)
        return True

    def recover_claim(self, job: ClaimedJob, heartbeat: Heartbeat | None) -> None:
        """Archive the claim if the job has a result, else record the loss and return it."""
        status = read_result_status(self._bucket, job.name.job_id)
        if status is not None:
            archive_copy(self._bucket, job.info.name, job.name, status)
            return
        close_attempt(
            self._bucket,
            job.name,
            job.info.name,
            self._loss(job, heartbeat),
            read_max_attempts(self._bucket, job.info.name),
        )

    def _loss(self, job: ClaimedJob, heartbeat: Heartbeat | None) -> AttemptRecord:
        claimed = None if heartbeat is None else heartbeat.job(job.name.job_id, job.name.fence)
        stage = claimed.stage if claimed is not None else Stage.CLAIMED
        # An agent that was stopped while Orthanc was away: its SEG waits, nothing has failed.
        is_waiting = (
            heartbeat is not None
            and heartbeat.state == AgentState.STOPPED
            and stage == Stage.UPLOAD
        )
        counts = counts_unknown(self._bucket)
        started = counts if heartbeat is None else (claimed is not None and claimed.started)
        started = started and not is_waiting
        # A user who can move an object chooses the folder's name: it is quoted, and the loss may
        # count, where the agent itself has said that it had this claim.
        is_known = names.is_agent_id(job.agent) and (claimed is not None or counts)
        earlier = [] if started or is_waiting else self._losses_before_work(job.name)
        known = sum(item.agent != NOBODY for item in earlier) if is_known else 0
        agent, now = job.agent if is_known else NOBODY, self._now()
        return AttemptRecord(
            job_id=job.name.job_id,
            # 0 only where a person moved the job there by hand.
            attempt=max(1, job.name.fence),
            agent=agent,
            outcome=AttemptOutcome.LOST,
            code=AGENT_LOST,
            reason=f"Agent {agent} died or fell silent (stage: {stage}).",
            started=started or known >= FREE_LOSSES,
            recorded_at=now,
            not_before=(
                now + _pause_after(job.name, len(earlier))
                if len(earlier) >= LOSSES_AT_ONCE
                else None
            ),
        )

    def _losses_before_work(self, name: JobName) -> list[AttemptRecord]:
        """The times that the job was lost before the GPU worker had it."""
        records = read_attempts(self._bucket, replace(name, fence=max(0, name.fence - 1)))
        return [
            item
            for item in records
            if item.code == AGENT_LOST and f"stage: {Stage.UPLOAD}" not in item.reason
        ]

    def _is_over(self, heartbeat: Heartbeat, updated: datetime) -> bool:
        return heartbeat.life(updated, self._now, self._is_dead) is not Life.RUNNING


def _pause_after(name: JobName, losses: int) -> timedelta:
    """Return the pause of a job after that many losses; the same in every process."""
    share = zlib.crc32(name.file_name.encode()) / 2**32
    return timedelta(seconds=retry.LOST_CLAIM.pause(losses - LOSSES_AT_ONCE) * (0.5 + share))
