"""The stages side by side: while one job is on the GPU the next downloads, the last uploads.

::

    claimed ─▶ [fetch] ─▶ ready ─▶ [infer] ─▶ outbox on disk ─▶ [deliver]

Each bracket is a thread. GPU width is 1, hand-over queues hold one job. What a stage cannot
settle it settles by the error's class, in one place (``_settle``).
"""

from __future__ import annotations

import contextlib
import logging
import queue
import shutil
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from enum import Enum
from functools import partial

from lab_side.agent.delivery.deliver import Delivery, Uploader, failed_result
from lab_side.agent.delivery.delivery_queue import DeliveryQueue
from lab_side.agent.delivery.outbox import Outbox, OutboxEntry
from lab_side.agent.fetch import fetch
from lab_side.agent.folders import WorkFolders
from lab_side.agent.health.circuit_breaker import CircuitBreaker
from lab_side.agent.health.gpu import GpuHealth
from lab_side.agent.health.heartbeat import Heartbeat
from lab_side.agent.infer import infer
from lab_side.agent.job_context import JobContext
from lab_side.agent.reporting.counters import Counters, Outcome
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.agent.unexpected import unexpected
from lab_side.log import at_stage, job_log_context, log_error, log_event
from lab_side.worker.client import WorkerProcess
from segrelay.errors import (
    AttemptFailedError,
    FixConfigurationError,
    InferenceError,
    LimitReachedError,
    ManifestRejectedError,
    ObjectNotFoundError,
    ObjectRefusedError,
    OrthancUnavailableError,
    PermanentError,
    QueueConflictError,
    SegRelayError,
    StoreUnavailableError,
    TransientError,
)
from segrelay.manifest import check_against_profile
from segrelay.orthanc import OrthancClient, UnexpectedAnswerError
from segrelay.profiles import Profile
from segrelay.queue import AgentQueue, Claim
from segrelay.stages import Stage
from segrelay.system.durable import disk_error, is_disk_failure

HAND_BACK_WAIT = timedelta(seconds=15)
"""Before another claim of a job handed back for a transient reason; doubles, up to 2^5."""

STORE_RETRY = (1.0, 30.0)
"""Seconds between tries to tell the store how a job ended."""

JOIN_TIMEOUT = 30.0
"""Seconds for a stage to end; longer than any single step but an upload that hangs."""

MOST_IN_HAND = 2
"""Jobs claimed and not yet in the outbox: more would wait here while another agent idles."""

IDLE = 0.2
"""Seconds a stage waits for work before it looks whether it should end."""

logger = logging.getLogger("segrelay.pipeline")


class Halt(Enum):
    """Why a job that nothing is wrong with is handed back: another agent may have it at once."""

    STOPPED = ("stopping", "The agent was stopped.")
    PAUSED = ("paused", "The agent was paused.")

    def error(self) -> TransientError:
        """The reason as a job's attempt record has it."""
        code, message = self.value
        return TransientError(message, code=code)


_NO_WAIT = (*(halt.error().code for halt in Halt), "labels")
"""Another agent may have the job at once."""


class Pipeline:
    """Three stage threads and the rule how each error ends a job."""

    def __init__(
        self,
        *,
        desk: AgentQueue,
        client: OrthancClient,
        worker: WorkerProcess,
        outbox: Outbox,
        courier: Uploader,
        board: StatusBoard,
        heartbeat: Heartbeat,
        gpu: GpuHealth,
        guard: CircuitBreaker,
        tally: Counters,
        folders: WorkFolders,
        profiles: Mapping[str, Profile],
        model_sha256: Mapping[str, str],
        agent: str,
        is_orthanc_there: Callable[[], bool],
        on_download: Callable[[OrthancUnavailableError | None], None],
        on_room: Callable[[], None],
        on_fatal: Callable[[SegRelayError], None],
    ) -> None:
        self._desk = desk
        self._client = client
        self._worker = worker
        self._outbox = outbox
        self._board = board
        self._heartbeat = heartbeat
        self._gpu = gpu
        self._guard = guard
        self._tally = tally
        self._folders = folders
        self._profiles = profiles
        self._model_sha256 = model_sha256
        self._agent = agent
        self._on_download = on_download
        self._on_room = on_room
        self._on_fatal = on_fatal
        self._claims: queue.Queue[Claim] = queue.Queue(maxsize=1)
        self._ready: queue.Queue[JobContext] = queue.Queue(maxsize=1)
        self._halted = threading.Event()
        self._why_halted = Halt.STOPPED
        self._cancelled = threading.Event()
        self._rounds = DeliveryQueue(
            outbox,
            courier,
            is_orthanc_there=is_orthanc_there,
            is_stopped=lambda: self._cancelled.is_set(),
            on_settled=board.drop,
            on_delivered=self._count_delivery,
            on_fatal=on_fatal,
        )
        self._threads = [
            threading.Thread(
                target=self._run_stage, args=(stage,), name=stage.__name__, daemon=True
            )
            for stage in (self._fetch_stage, self._infer_stage, self._deliver_stage)
        ]

    def start(self) -> None:
        """Start the stages; SEGs that wait in the outbox go out first."""
        for entry in self._outbox.entries():
            if entry.claim is not None:
                self._board.post(
                    entry.draft.job_id, entry.claim.attempt, Stage.UPLOAD, started=True
                )
        self._rounds.ring()
        for thread in self._threads:
            thread.start()

    def _count_delivery(self, delivery: Delivery) -> None:
        result = delivery.result
        if result is None:
            return
        code = "" if result.failure is None else result.failure.code
        self._tally.ended(Outcome(result.status.value), code)
        if result.provenance is not None:
            self._tally.went_through(result.provenance.stage_seconds)

    def has_room(self) -> bool:
        """Whether another job may be claimed: one on the GPU, one that downloads or waits."""
        in_hand = [job for job in self._board.jobs().values() if job.stage != Stage.UPLOAD]
        return len(in_hand) < MOST_IN_HAND and not self._halted.is_set()

    def notice_waiting(self, jobs: Collection[str]) -> None:
        """Deliver what another process put into the outbox: a segmentation by hand, mostly."""
        self._rounds.notice(set(jobs) - set(self._board.jobs()))

    def holds(self, job_id: str) -> bool:
        """Whether the job is in hand: a doubled submit puts a second copy into the queue, and
        two claims of one job here would share its folder in the outbox and its heartbeat."""
        return job_id in self._board.jobs()

    def accept(self, claim: Claim) -> None:
        """Take a claimed job in; only after :meth:`has_room`."""
        self._tally.claimed()
        self._board.post(claim.job_id, claim.attempt, Stage.CLAIMED)
        self._claims.put(claim)

    def has_nothing_to_do(self) -> bool:
        """Whether no job is in hand, or only SEGs that Orthanc did not take just now."""
        return self.is_drained() and self._rounds.has_tried_all

    def is_alive(self) -> bool:
        """Whether every stage still runs."""
        return all(thread.is_alive() for thread in self._threads)

    def halt(self, why: Halt) -> None:
        """Finish what the GPU has, hand back what it has not; deliver what is ready."""
        self._why_halted = why
        self._halted.set()

    def resume(self) -> None:
        """Take jobs again."""
        self._halted.clear()

    def cancel(self) -> None:
        """End now: kill the worker, hand back everything but what waits in the outbox."""
        self.halt(Halt.STOPPED)
        self._cancelled.set()
        self._worker.kill()

    def is_drained(self) -> bool:
        """Whether only jobs of the outbox are left."""
        waiting = {entry.draft.job_id for entry in self._outbox.entries()}
        return not (set(self._board.jobs()) - waiting)

    def stop(self) -> None:
        """End the threads; what waits in the outbox stays there, its claim too."""
        self.halt(Halt.STOPPED)
        self._cancelled.set()
        self._rounds.ring()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=JOIN_TIMEOUT)
        self._return_unstarted()

    def _return_unstarted(self) -> None:
        """Hand back what a cancelled stage left in its queue."""
        left: list[Claim] = []
        with contextlib.suppress(queue.Empty):
            while True:
                left.append(self._claims.get_nowait())
        with contextlib.suppress(queue.Empty):
            while True:
                claim = self._ready.get_nowait().claim
                left += [] if claim is None else [claim]
        for claim in left:
            with job_log_context(claim.job_id, claim.attempt, Stage.CLAIMED):
                self._settle(claim, self._why_halted.error(), started=False)

    def _run_stage(self, stage: Callable[[], None]) -> None:
        """A stage that dies of a bug outside of any job stops the agent loudly.

        One that a limit of the computer stops goes on a moment later: no job is in its hands.
        """
        while not self._cancelled.is_set():
            try:
                stage()
            except Exception as error:
                died = unexpected(error)
                if not isinstance(died, LimitReachedError):
                    self._on_fatal(died)
                    return
                self._cancelled.wait(STORE_RETRY[0])

    def _survive(self, claim: Claim, work: Callable[[], None]) -> None:
        """Work on one job; a bug that it brings to light costs this job an attempt, no other."""
        try:
            work()
        except Exception as error:
            died = unexpected(error)
            self._settle(claim, died, started=True)
            if isinstance(died, AttemptFailedError):
                self._guard.failed(claim.job_id, died)

    def _fetch_stage(self) -> None:
        while not self._cancelled.is_set():
            try:
                claim = self._claims.get(timeout=IDLE)
            except queue.Empty:
                continue
            with job_log_context(claim.job_id, claim.attempt, Stage.FETCH):
                self._survive(claim, partial(self._prepare, claim))

    def _prepare(self, claim: Claim) -> None:
        """Open and fetch one job, and hand it to the next stage."""
        try:
            case = self._open(claim)
            if case is not None:
                self._fetch(case)
                self._on_download(None)
                self._hand_over(case)
        except SegRelayError as error:
            if isinstance(error, OrthancUnavailableError):
                self._on_download(error)
            self._settle(claim, self._as_hand_back(error), started=False)
        except OSError as error:
            # A download writes in many places; what the disk refuses there is no defect.
            if not is_disk_failure(error):
                raise
            refused = disk_error("The work folder refused a file", error)
            self._settle(claim, refused, started=False)

    def _open(self, claim: Claim) -> JobContext | None:
        """Read the manifest; None when there is nothing left to fetch."""
        manifest = self._desk.open(claim)
        if manifest is None:
            self._forget(claim)
            return None
        waiting = self._outbox.find(claim.job_id)
        if waiting is not None:
            self._outbox.reassign(waiting, claim)
            self._board.post(claim.job_id, claim.attempt, Stage.UPLOAD, started=True)
            self._rounds.ring()
            return None
        profile = self._profiles[claim.name.profile]
        check_against_profile(manifest, profile)
        log_event(logger, logging.INFO, "job opened")
        return JobContext(
            manifest=manifest,
            profile=profile,
            model_sha256=self._model_sha256[profile.name],
            agent=self._agent,
            claim=claim,
            folder=self._folders.new(claim.job_id, claim.attempt),
            job_key=claim.job_id,
        )

    def _fetch(self, case: JobContext) -> None:
        self._board.post(case.job_id, case.attempt, Stage.FETCH)
        fetch(
            case,
            self._client,
            progress=lambda done, total: self._board.count(case.job_id, Stage.FETCH, done, total),
            stop=self._halted,
        )
        log_event(
            logger,
            logging.INFO,
            "series fetched",
            seconds=round(case.stage_seconds[Stage.FETCH], 2),
        )
        self._board.post(case.job_id, case.attempt, Stage.READY)

    def _hand_over(self, case: JobContext) -> None:
        while not self._halted.is_set():
            try:
                self._ready.put(case, timeout=IDLE)
            except queue.Full:
                continue
            return
        raise self._why_halted.error()

    def _infer_stage(self) -> None:
        while not self._cancelled.is_set():
            if not self._halted.is_set():
                self._gpu.look_after()
            try:
                case = self._ready.get(timeout=IDLE)
            except queue.Empty:
                continue
            if case.claim is not None:
                with job_log_context(case.job_id, case.attempt, Stage.READ):
                    self._survive(case.claim, partial(self._infer, case, case.claim))

    def _infer(self, case: JobContext, claim: Claim) -> None:
        started = False
        try:
            if self._halted.is_set():
                raise self._why_halted.error()
            self._gpu.make_sure()
            if self._desk.open(claim) is None:
                self._forget(claim)
                return
            self._begin(case)
            started = True
            entry = infer(
                case,
                self._worker,
                self._outbox,
                self._folders,
                progress=lambda stage, part: self._advance(case, stage, part),
            )
            self._log_inferred(entry)
            self._board.post(case.job_id, case.attempt, Stage.UPLOAD)
            self._guard.succeeded()
            self._rounds.ring()
            self._on_room()
        except SegRelayError as error:
            self._end_work(case, claim, self._as_hand_back(error), started=started)

    def _end_work(
        self, case: JobContext, claim: Claim, error: SegRelayError, *, started: bool
    ) -> None:
        """Settle a job that the infer stage has not finished; then see whether it was the GPU."""
        is_workers_fault = started and isinstance(error, (AttemptFailedError, InferenceError))
        if is_workers_fault:
            self._gpu.doubt(error)
        self._settle(claim, error, started=started, max_attempts=case.manifest.max_attempts)
        if is_workers_fault:
            self._guard.failed(case.job_id, error)
            if not self._cancelled.is_set():
                self._gpu.examine()

    def _begin(self, case: JobContext) -> None:
        """Tell the store that work starts: from here on a death counts as an attempt."""
        self._board.post(case.job_id, case.attempt, Stage.READ, started=True)
        self._persist(self._heartbeat.heartbeat_now)

    def _advance(self, case: JobContext, stage: str, part: float) -> None:
        at_stage(stage)
        self._board.advance(case.job_id, stage, part)

    def _as_hand_back(self, error: SegRelayError) -> SegRelayError:
        """Why work broke off, where it was the agent that broke it off."""
        is_killed = error.code in ("worker-stopped", "gpu-sick")
        is_cancelled = is_killed and self._cancelled.is_set()
        if is_cancelled or error.code == "stopping":
            return self._why_halted.error()
        return error

    def _log_inferred(self, entry: OutboxEntry) -> None:
        seconds = sum(entry.draft.provenance.stage_seconds.values())
        log_event(logger, logging.INFO, "SEG written", seconds=round(seconds, 2))

    def _deliver_stage(self) -> None:
        while not self._cancelled.is_set():
            if self._rounds.wait(IDLE) and not self._cancelled.is_set():
                self._rounds.run()
                self._folders.remove_downloads()

    def _settle(
        self,
        claim: Claim,
        error: SegRelayError,
        *,
        started: bool,
        max_attempts: int | None = None,
    ) -> None:
        """End a job's stay with this agent as its error demands."""
        log_error(logger, logging.WARNING, "job not finished", error)
        self._persist(lambda: self._put_away(claim, error, started, max_attempts))
        self._forget(claim)
        if isinstance(error, FixConfigurationError):
            self._on_fatal(error)

    def _put_away(
        self, claim: Claim, error: SegRelayError, started: bool, max_attempts: int | None
    ) -> None:
        try:
            self._dispose(claim, error, started, max_attempts)
        except ObjectRefusedError as refusal:
            # This job's own file is in the way, and other jobs wait for this stage; the claim
            # is tried again with those of a previous life.
            log_error(logger, logging.WARNING, "job not put away", refusal)

    def _dispose(
        self, claim: Claim, error: SegRelayError, started: bool, max_attempts: int | None
    ) -> None:
        if isinstance(error, QueueConflictError):
            return
        if isinstance(error, ManifestRejectedError):
            self._desk.reject(claim, error)
            outcome = Outcome.REJECTED
        elif isinstance(error, PermanentError):
            result = failed_result(
                claim.job_id, claim.agent, claim.attempt, error, now=self._desk.now()
            )
            self._desk.finish(claim, result)
            outcome = Outcome.FAILED
        elif isinstance(error, AttemptFailedError):
            end = self._desk.fail_attempt(claim, error, started=started, max_attempts=max_attempts)
            outcome = Outcome.ATTEMPT_FAILED if end is None else Outcome.FAILED
        else:
            wait = timedelta(0)
            if isinstance(error, TransientError) and error.code not in _NO_WAIT:
                # While Orthanc is away, the gate waits longer and longer for all jobs at once.
                is_for_all = isinstance(error, OrthancUnavailableError)
                wait = HAND_BACK_WAIT * (1 if is_for_all else 2 ** min(claim.attempt - 1, 5))
            if isinstance(error, UnexpectedAnswerError):
                end = self._desk.hand_back_or_fail(claim, error, wait=wait)
                outcome = Outcome.HANDED_BACK if end is None else Outcome.FAILED
            else:
                self._desk.hand_back(claim, error, started=started, wait=wait)
                outcome = Outcome.HANDED_BACK
        self._tally.ended(outcome, error.code)

    def _persist(self, action: Callable[[], None]) -> None:
        """Repeat until the store has heard of it, or the agent is told to end now."""
        pause, most = STORE_RETRY
        while True:
            try:
                action()
            except StoreUnavailableError as error:
                log_error(logger, logging.WARNING, "store did not answer", error)
                if self._cancelled.wait(pause):
                    return
                pause = min(most, pause * 2)
            except ObjectNotFoundError:
                # The claim is gone: another process took this agent for dead.
                return
            except FixConfigurationError as error:
                # For longer than the patience: the next life settles the claim.
                self._on_fatal(error)
                return
            else:
                return

    def _forget(self, claim: Claim) -> None:
        self._board.drop(claim.job_id)
        self._on_room()
        shutil.rmtree(self._folders.of(claim.job_id, claim.attempt), ignore_errors=True)
