"""The stages side by side: while one job is on the GPU the next downloads, the last uploads.

::

    claimed ─▶ [fetch] ─▶ ready ─▶ [infer] ─▶ outbox on disk ─▶ [deliver]

Each bracket is a thread. GPU width is 1, hand-over queues hold one job. What becomes of a job
that a stage cannot finish is decided in one place (``dispose``).
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, Full, Queue

from lab_side.agent.attempts import Attempts
from lab_side.agent.delivery.delivery_queue import DeliveryQueue
from lab_side.agent.delivery.outbox import Outbox, OutboxEntry
from lab_side.agent.dispose import decide
from lab_side.agent.fetch import fetch
from lab_side.agent.folders import WorkFolders
from lab_side.agent.health.circuit_breaker import CircuitBreaker
from lab_side.agent.health.gpu import GpuHealth
from lab_side.agent.health.heartbeat import Heartbeat
from lab_side.agent.health.orthanc_gate import OrthancGate
from lab_side.agent.health.signals import Halt, Signals
from lab_side.agent.infer import infer
from lab_side.agent.job_context import JobContext
from lab_side.agent.models import ServedModels
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.agent.reporting.unexpected import unexpected
from lab_side.log import at_stage, job_log_context, log_event
from lab_side.worker.client import WorkerProcess
from segrelay import retry
from segrelay.errors import LimitReachedError, OrthancUnavailableError, SegRelayError
from segrelay.manifest import check_against_profile
from segrelay.orthanc import OrthancClient
from segrelay.queue import AgentQueue, Claim
from segrelay.stages import Stage
from segrelay.system.durable import disk_error, is_disk_failure

JOIN_TIMEOUT = 30.0
"""Seconds for a stage to end; longer than any single step but an upload that hangs."""

IDLE = 0.2
"""Seconds a stage waits for work before it checks whether to end."""

logger = logging.getLogger("segrelay.pipeline")


class Pipeline:
    """Three stage threads; what ends a job without a SEG is decided in ``dispose``."""

    def __init__(
        self,
        *,
        queue: AgentQueue,
        client: OrthancClient,
        gate: OrthancGate,
        worker: WorkerProcess,
        models: ServedModels,
        gpu: GpuHealth,
        breaker: CircuitBreaker,
        outbox: Outbox,
        deliveries: DeliveryQueue,
        folders: WorkFolders,
        status: StatusBoard,
        heartbeat: Heartbeat,
        attempts: Attempts,
        signals: Signals,
    ) -> None:
        self._queue = queue
        self._client = client
        self._gate = gate
        self._worker = worker
        self._models = models
        self._gpu = gpu
        self._breaker = breaker
        self._outbox = outbox
        self._deliveries = deliveries
        self._folders = folders
        self._status = status
        self._heartbeat = heartbeat
        self._attempts = attempts
        self._signals = signals
        self._claims: Queue[Claim] = Queue(maxsize=1)
        self._ready: Queue[JobContext] = Queue(maxsize=1)
        self._threads = [
            threading.Thread(
                target=self._run_stage, args=(stage,), name=stage.__name__, daemon=True
            )
            for stage in (self._fetch_stage, self._infer_stage, self._deliver_stage)
        ]

    def start(self) -> None:
        """Start the stages; SEGs that wait in the outbox go out first."""
        self.show_waiting()
        for thread in self._threads:
            thread.start()

    def show_waiting(self) -> None:
        """Show the jobs whose SEG waits in the heartbeat, and have them delivered."""
        for entry in self._outbox.entries():
            if entry.claim is not None:
                self._status.set_stage(
                    entry.draft.job_id, entry.claim.attempt, Stage.UPLOAD, started=True
                )
        self._deliveries.wake()

    def accept(self, claim: Claim) -> None:
        """Take a claimed job in; only while there is room for it."""
        self._attempts.begin(claim)
        self._claims.put(claim)

    @property
    def waiting(self) -> int:
        """How many SEGs wait in the outbox."""
        return len(self._outbox.job_ids())

    def has_nothing_to_do(self) -> bool:
        """Whether no job is in hand, or only SEGs that Orthanc did not take just now."""
        return self.is_drained() and self._deliveries.has_tried_all

    def is_alive(self) -> bool:
        """Whether every stage still runs."""
        return all(thread.is_alive() for thread in self._threads)

    def cancel(self) -> None:
        """End now: kill the worker, hand back everything but what waits in the outbox."""
        self._signals.halt(Halt.STOPPED)
        self._signals.cancelled.set()
        self._worker.kill()

    def is_drained(self) -> bool:
        """Whether only jobs of the outbox are left."""
        waiting = self._outbox.job_ids()
        return not (set(self._status.jobs()) - waiting)

    def stop(self) -> None:
        """End the threads; what waits in the outbox stays there, its claim too."""
        self._signals.halt(Halt.STOPPED)
        self._signals.cancelled.set()
        self._deliveries.wake()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=JOIN_TIMEOUT)
        self._return_unstarted()

    def _return_unstarted(self) -> None:
        """Hand back what a cancelled stage left in its queue."""
        left: list[Claim] = []
        with contextlib.suppress(Empty):
            while True:
                left.append(self._claims.get_nowait())
        with contextlib.suppress(Empty):
            while True:
                claim = self._ready.get_nowait().claim
                left += [] if claim is None else [claim]
        for claim in left:
            with job_log_context(claim.job_id, claim.attempt, Stage.CLAIMED):
                self._finish_attempt(claim, self._signals.halt_reason.error())

    def _run_stage(self, stage: Callable[[], None]) -> None:
        """A stage that dies of a bug outside of any job stops the agent loudly.

        One that a limit of the computer stops goes on a moment later: no job is in its hands.
        """
        while not self._signals.cancelled.is_set():
            try:
                stage()
            except Exception as error:
                died = unexpected(error)
                if not isinstance(died, LimitReachedError):
                    self._signals.fail(died)
                    return
                self._signals.cancelled.wait(retry.STORE_WRITE.pause())

    def _survive(self, claim: Claim, work: Callable[[], None]) -> None:
        """Work on one job; a bug that it brings to light costs this job an attempt, no other."""
        try:
            work()
        except Exception as error:
            self._finish_attempt(claim, unexpected(error), started=True)

    def _fetch_stage(self) -> None:
        while not self._signals.cancelled.is_set():
            try:
                claim = self._claims.get(timeout=IDLE)
            except Empty:
                continue
            with job_log_context(claim.job_id, claim.attempt, Stage.FETCH):
                self._survive(claim, partial(self._prepare, claim))

    def _prepare(self, claim: Claim) -> None:
        """Open and fetch one job, and hand it to the next stage."""
        try:
            job = self._open(claim)
            if job is not None:
                self._fetch(job)
                self._gate.note_download(None)
                self._hand_over(job)
        except SegRelayError as error:
            if isinstance(error, OrthancUnavailableError):
                self._gate.note_download(error)
            self._finish_attempt(claim, error)
        except OSError as error:
            # A download writes in many places; what the disk refuses there is no defect.
            if not is_disk_failure(error):
                raise
            self._finish_attempt(claim, disk_error("The work folder refused a file", error))

    def _open(self, claim: Claim) -> JobContext | None:
        """Read the manifest; None when there is nothing left to fetch."""
        manifest = self._queue.open(claim)
        if manifest is None:
            self._attempts.forget(claim)
            return None
        waiting = self._outbox.find(claim.job_id)
        if waiting is not None:
            self._outbox.reassign(waiting, claim)
            self._status.set_stage(claim.job_id, claim.attempt, Stage.UPLOAD, started=True)
            self._deliveries.wake()
            return None
        profile = self._models.profiles[claim.name.profile]
        check_against_profile(manifest, profile)
        log_event(logger, logging.INFO, "job opened")
        return JobContext(
            manifest=manifest,
            profile=profile,
            model_sha256=self._models.sha256[profile.name],
            agent=claim.agent,
            claim=claim,
            folder=self._folders.new(claim.job_id, claim.attempt),
            job_key=claim.job_id,
        )

    def _fetch(self, job: JobContext) -> None:
        self._status.set_stage(job.job_id, job.attempt, Stage.FETCH)
        fetch(
            job,
            self._client,
            progress=lambda done, total: self._status.count(job.job_id, Stage.FETCH, done, total),
            stop=self._signals.halted,
        )
        log_event(
            logger,
            logging.INFO,
            "series fetched",
            seconds=round(job.stage_seconds[Stage.FETCH], 2),
        )
        self._status.set_stage(job.job_id, job.attempt, Stage.READY)

    def _hand_over(self, job: JobContext) -> None:
        while not self._signals.halted.is_set():
            try:
                self._ready.put(job, timeout=IDLE)
            except Full:
                continue
            return
        raise self._signals.halt_reason.error()

    def _infer_stage(self) -> None:
        while not self._signals.cancelled.is_set():
            if not self._signals.halted.is_set():
                self._gpu.test_if_due()
            try:
                job = self._ready.get(timeout=IDLE)
            except Empty:
                continue
            if job.claim is not None:
                with job_log_context(job.job_id, job.attempt, Stage.READ):
                    self._survive(job.claim, partial(self._infer, job, job.claim))

    def _infer(self, job: JobContext, claim: Claim) -> None:
        started = False
        try:
            if self._signals.halted.is_set():
                raise self._signals.halt_reason.error()
            self._gpu.make_sure()
            if self._queue.open(claim) is None:
                self._attempts.forget(claim)
                return
            self._begin(job)
            started = True
            entry = infer(
                job,
                self._worker,
                self._outbox,
                self._folders,
                progress=lambda stage, part: self._advance(job, stage, part),
            )
            self._log_inferred(entry)
            self._status.set_stage(job.job_id, job.attempt, Stage.UPLOAD)
            self._breaker.succeeded()
            self._deliveries.wake()
            self._signals.wake.set()
        except SegRelayError as error:
            limit = job.manifest.max_attempts
            self._finish_attempt(claim, error, started=started, max_attempts=limit)

    def _begin(self, job: JobContext) -> None:
        """Let the store know that work starts: from here on a death counts as an attempt."""
        self._status.set_stage(job.job_id, job.attempt, Stage.READ, started=True)
        self._attempts.persist(self._heartbeat.heartbeat_now)

    def _advance(self, job: JobContext, stage: str, part: float) -> None:
        at_stage(stage)
        self._status.advance(job.job_id, stage, part)

    def _log_inferred(self, entry: OutboxEntry) -> None:
        seconds = sum(entry.draft.provenance.stage_seconds.values())
        log_event(logger, logging.INFO, "SEG written", seconds=round(seconds, 2))

    def _deliver_stage(self) -> None:
        while not self._signals.cancelled.is_set():
            if self._deliveries.wait(IDLE) and not self._signals.cancelled.is_set():
                self._deliveries.run()
                self._folders.remove_downloads()

    def _finish_attempt(
        self,
        claim: Claim,
        error: SegRelayError,
        *,
        started: bool = False,
        max_attempts: int | None = None,
    ) -> None:
        """End an attempt that has no SEG; then see whether it was the GPU."""
        decision = decide(
            error,
            attempt=claim.attempt,
            halt=self._signals.halt_reason,
            is_cancelled=self._signals.cancelled.is_set(),
            started=started,
            max_attempts=max_attempts,
        )
        if decision.tests_gpu:
            self._gpu.doubt(decision.error)
        self._attempts.finish(claim, decision)
        if decision.is_ours:
            self._breaker.failed(claim.job_id, decision.error)
        if decision.tests_gpu and not self._signals.cancelled.is_set():
            self._gpu.examine()
