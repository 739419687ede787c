"""Whether a job may be claimed now, and which: the one place that answers.

::

    for this agent's profiles? ─▶ pause or end ordered? ─▶ heartbeat, disk, Orthanc, GPU well?
        ─▶ room for another? ─▶ not in hand already? ─▶ its pause over, its labels here? ─▶ claim

The last question, about the job's earlier attempts, is the queue's (``AgentQueue.may_claim``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from lab_side.agent.folders import GIGABYTE, WorkFolders
from lab_side.agent.health.gpu import GpuHealth
from lab_side.agent.health.orthanc_gate import OrthancGate
from lab_side.agent.health.signals import Signals
from lab_side.agent.models import ServedModels
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.log import job_log_context, log_event
from segrelay.errors import FixConfigurationError, LocalDiskError, SegRelayError
from segrelay.notices import Notice, notice, notice_of
from segrelay.queue import AgentQueue, Claim, Lease, QueueView
from segrelay.stages import Stage

MOST_IN_HAND = 2
"""Jobs claimed and not yet in the outbox: more would wait here while another agent idles."""

logger = logging.getLogger("segrelay.agent")


class Readiness:
    """What keeps the agent from working: heartbeat, disk, Orthanc, GPU."""

    def __init__(
        self,
        *,
        lease: Lease,
        folders: WorkFolders,
        min_free_gb: float,
        gate: OrthancGate,
        gpu: GpuHealth,
        signals: Signals,
    ) -> None:
        self._lease = lease
        self._folders = folders
        self._min_free_gb = min_free_gb
        self._gate = gate
        self._gpu = gpu
        self._signals = signals

    def problem(self, *, has_jobs: bool) -> Notice | None:
        """Why nothing may be claimed now, or None; without jobs only the GPU is asked."""
        if not has_jobs and self._gate.has_answered:
            return self._gpu.notice
        if not self._lease.is_held():
            return notice("heartbeat-late")
        try:
            free = self._folders.free_bytes() / GIGABYTE
        except LocalDiskError as error:
            return notice_of(error)
        if free < self._min_free_gb:
            return notice("disk-low", free_gb=round(free, 1))
        problem = self._orthanc_problem()
        return self._gpu.notice if problem is None else notice_of(problem)

    def is_orthanc_there(self) -> bool:
        """Whether Orthanc answers now; asked when a transfer has failed."""
        self._gate.doubt()
        return self._orthanc_problem() is None

    def _orthanc_problem(self) -> SegRelayError | None:
        try:
            return self._gate.problem()
        except FixConfigurationError as error:
            self._signals.fail(error)
            return error


class Claiming:
    """Claims what fits from a listing of the queue.

    Parameters
    ----------
    accept:
        Takes a claimed job in.
    """

    def __init__(
        self,
        queue: AgentQueue,
        *,
        readiness: Readiness,
        models: ServedModels,
        status: StatusBoard,
        signals: Signals,
        accept: Callable[[Claim], None],
    ) -> None:
        self._queue = queue
        self._readiness = readiness
        self._models = models
        self._status = status
        self._signals = signals
        self._accept = accept
        self.waiting = 0
        """Jobs that waited for this agent's profiles in the last listing."""

    def claim(self, view: QueueView) -> bool:
        """Claim what may be claimed now; whether it is worth scanning again."""
        waiting = [job for job in view.pending if job.name.profile in self._models.profiles]
        self.waiting = len(waiting)
        if self._signals.is_paused or not self._is_ready(has_jobs=bool(waiting)):
            return False
        progressed = False
        for job in waiting:
            if not self._signals.may_claim or not self.has_room():
                return True
            if self.is_in_hand(job.name.job_id):
                continue
            claim = self._queue.try_claim(job)
            if claim is not None:
                with job_log_context(claim.job_id, claim.attempt, Stage.CLAIMED):
                    log_event(logger, logging.INFO, "job claimed")
                self._accept(claim)
                progressed = True
        return progressed

    def has_room(self) -> bool:
        """Whether another job fits: one on the GPU, one that downloads or waits."""
        in_hand = [job for job in self._status.jobs().values() if job.stage != Stage.UPLOAD]
        return len(in_hand) < MOST_IN_HAND

    def is_in_hand(self, job_id: str) -> bool:
        """Whether the job is in hand: a doubled submit puts a second copy into the queue, and
        two claims of one job here would share its folder in the outbox and its heartbeat."""
        return job_id in self._status.jobs()

    def _is_ready(self, *, has_jobs: bool) -> bool:
        """Whether nothing keeps the agent from working; the heartbeat says what does."""
        problem = self._readiness.problem(has_jobs=has_jobs)
        # After the question: a GPU that is well has loaded its models.
        self._models.note_loaded()
        if problem is not None and problem != self._status.agent.notice:
            # Once: what keeps it from claiming may last for days.
            log_event(logger, logging.WARNING, "claiming suspended", why=problem.text)
        self._status.set_problem(problem)
        return problem is None
