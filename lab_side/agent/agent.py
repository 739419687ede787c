"""The agent's loop: scan, heal, reap, claim; and an orderly end.

Start: Orthanc and the profiles are checked, the agent id is taken over, what a previous
life left is settled, the models are loaded, and only then jobs are claimed. A pause finishes
what the GPU has, hands back the rest and gives the GPU back; heartbeats and
delivery go on.
End: the first stop drains (finish or hand back within a limit), the second cancels; heartbeats
go on until all is done.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from lab_side import __version__
from lab_side.agent.delivery.deliver import Uploader
from lab_side.agent.delivery.outbox import Outbox, read_entries, refused_folder
from lab_side.agent.doorbell import Doorbell
from lab_side.agent.folders import GIGABYTE, WorkFolders
from lab_side.agent.health import control
from lab_side.agent.health.circuit_breaker import CircuitBreaker
from lab_side.agent.health.control import ControlWatch, Drain, Pause
from lab_side.agent.health.gpu import GpuHealth
from lab_side.agent.health.heartbeat import Heartbeat
from lab_side.agent.health.identity import is_dead, this_process
from lab_side.agent.health.orthanc_gate import OrthancGate
from lab_side.agent.models import load_models, new_worker, plan_models
from lab_side.agent.pipeline import Halt, Pipeline
from lab_side.agent.poll_interval import PollInterval
from lab_side.agent.reporting.counters import Counters
from lab_side.agent.reporting.daily import DailyLine
from lab_side.agent.reporting.metrics import MetricsServer, MetricsSnapshot
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.agent.unusable_log import UnusableObjectLog
from lab_side.log import job_log_context, log_error, log_event
from lab_side.service.notify import ServiceManager, Supervisor
from lab_side.settings.config import AgentConfig, secret_renewal
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.bucket.sealed import SealedBucket
from segrelay.errors import (
    AttemptFailedError,
    FixConfigurationError,
    LeaseLostError,
    LocalDiskError,
    SegRelayError,
    StoreUnavailableError,
    TransientError,
)
from segrelay.offers import Offer
from segrelay.orthanc import OrthancClient, new_history
from segrelay.queue import AgentQueue, Lease, QueueView, Reaper, scan, verify_store
from segrelay.stages import Stage

SETTLE = "settle"
"""The stage, in the log, of a job that another process or life has left behind."""

logger = logging.getLogger("segrelay.agent")


class Agent:
    """One running agent; ``supervisor``: whom it tells that it lives, systemd unless given."""

    def __init__(
        self, config: AgentConfig, bucket: Bucket, supervisor: Supervisor | None = None
    ) -> None:
        self._config = config
        self._bucket = bucket
        self._profiles = config.load_profiles()
        self._client = OrthancClient(
            config.orthanc,
            history=new_history(patience=config.patience),
            renew=secret_renewal(config),
        )
        self._gate = OrthancGate(self._client)
        self._outbox = Outbox(config.home)
        self._folders = WorkFolders(config.home)
        self._worker = new_worker(config)
        self._gpu = GpuHealth(self._worker)
        self._guard = CircuitBreaker(config.guard_failures, pause=self._order_pause)
        self._model_sha256: dict[str, str] = {}
        """Of the weights that the worker has loaded, by profile."""
        self._tally = Counters()
        self._daily = DailyLine(config.home, round(config.min_free_gb * GIGABYTE), self._tally)
        self._pending = 0
        """Jobs that waited for this agent's profiles when it last looked."""
        self._unusable_log = UnusableObjectLog()
        self._metrics: MetricsServer | None = None
        self._board = StatusBoard(
            identity=this_process(),
            version=__version__,
            profiles=tuple(self._profiles),
            labels=config.labels,
            offers=tuple(Offer.of(profile) for profile in self._profiles.values()),
        )
        self._lease = Lease(bucket, config.agent_id, self._board.identity, is_dead=is_dead)
        self._desk = AgentQueue(bucket, config.agent_id, now=self._lease.now, labels=config.labels)
        self._reaper = Reaper(bucket, config.agent_id, now=self._lease.now, is_dead=is_dead)
        self._heartbeat = Heartbeat(bucket, self._lease, self._board, on_lost=self._lease_lost)
        self._wake = threading.Event()
        directory = _directory_of(bucket)
        self._doorbell = self._make_doorbell(directory)
        # A look at a directory costs nothing; one at a cloud bucket is billed.
        idle = config.idle_poll_seconds if directory is None else config.poll_seconds
        self._pace = PollInterval(active=config.poll_seconds, idle=idle)
        self._draining = threading.Event()
        self._cancelled = threading.Event()
        self._control = ControlWatch(
            config.home, on_pause=self._on_pause, on_drain=self._on_drain_order
        )
        self._pause: Pause | None = None
        self._is_paused = False
        """Whether the loop has heeded it."""
        self._supervisor = supervisor or ServiceManager()
        self._fatal: SegRelayError | None = None
        self._pipeline: Pipeline | None = None

    def _make_doorbell(self, directory: Path | None) -> Doorbell | None:
        events = self._config.directory_events
        if directory is None or events == "off":
            return None
        return Doorbell(directory, self._wake, polling=events == "polling")

    def run(self, *, until_idle: bool = False) -> None:
        """Serve until stopped; with ``until_idle``, until nothing is left to claim.

        Raises
        ------
        FixConfigurationError
            A setting, the credentials or a model is wrong, or the store is not honest.
        OrthancUnavailableError
            With ``until_idle``: Orthanc does not answer.
        LeaseLostError
            Another process uses this agent id.
        """
        self._gate.check_at_start(is_patient=not until_idle)
        verify_store(self._bucket)
        previous = self._lease.take(self._board.heartbeat())
        self._heartbeat.start()
        self._control.start()
        try:
            if self._config.metrics_port:
                self._metrics = MetricsServer(self._config.metrics_port, self._figures)
            self._folders.sweep()
            keep = {entry.draft.job_id for entry in self._outbox.entries()}
            for job in self._reaper.heal(scan(self._bucket), previous, keep=keep):
                with job_log_context(job.name.job_id, job.name.fence, SETTLE):
                    log_event(logger, logging.INFO, "own claim of a previous life settled")
            self._load_models(is_patient=not until_idle)
            self._pipeline = self._build_pipeline()
            self._pipeline.start()
            self._serve(self._pipeline, until_idle=until_idle)
        finally:
            self._end()
        if self._fatal is not None:
            raise self._fatal

    @property
    def waiting(self) -> int:
        """How many SEGs wait in the outbox."""
        return len(self._outbox.entries())

    @property
    def leaves_jobs(self) -> bool:
        """Whether jobs wait for this agent that something keeps it from claiming."""
        return self._pending > 0 and self._board.agent.state == "waiting"

    @property
    def is_paused(self) -> bool:
        """Whether a person's pause kept it from claiming."""
        return self._is_paused

    def stop(self) -> None:
        """First call: drain. Second call: cancel. Safe in a signal handler."""
        if self._draining.is_set():
            self._cancelled.set()
        self._draining.set()
        self._wake.set()

    def _on_drain_order(self, order: Drain) -> None:
        if order.cancel:
            self._cancelled.set()
        self._draining.set()
        self._wake.set()

    def _on_pause(self, pause: Pause | None) -> None:
        self._pause = pause
        self._wake.set()

    def _order_pause(self, order: Pause) -> None:
        """The guard's; a person's that stands goes before it."""
        if control.standing_pause(self._config.home) is None:
            control.pause(self._config.home, order)

    def _load_models(self, *, is_patient: bool) -> None:
        """Load every model; with a GPU that is sick, or full, serve without until it is well."""
        try:
            load_models(self._config, self._worker)
        except FixConfigurationError:
            raise
        except SegRelayError as error:
            if not is_patient:
                raise
            plan_models(self._config, self._worker)
            self._gpu.fall_sick(error)
        problem = self._sickness()
        self._board.set_state("listening" if problem is None else "waiting", problem or "")
        self._note_models()

    def _note_models(self) -> None:
        loaded = self._worker.loaded
        self._model_sha256.update({name: reply.model_sha256 for name, reply in loaded.items()})
        devices = [reply.device for reply in loaded.values()]
        said = self._board.agent
        self._board.set_state(said.state, said.reason, device=devices[0] if devices else "")

    def _build_pipeline(self) -> Pipeline:
        courier = Uploader(
            self._client, self._outbox, self._worker, desk=self._desk, now=self._lease.now
        )
        return Pipeline(
            desk=self._desk,
            client=self._client,
            worker=self._worker,
            outbox=self._outbox,
            courier=courier,
            board=self._board,
            heartbeat=self._heartbeat,
            gpu=self._gpu,
            guard=self._guard,
            tally=self._tally,
            folders=self._folders,
            profiles=self._profiles,
            model_sha256=self._model_sha256,
            agent=self._config.agent_id,
            is_orthanc_there=self._is_orthanc_there,
            on_download=self._gate.note_download,
            on_room=self._wake.set,
            on_fatal=self._fail,
        )

    def _serve(self, pipeline: Pipeline, *, until_idle: bool) -> None:
        log_event(
            logger,
            logging.INFO,
            "Listening for jobs",
            agent=self._config.agent_id,
            queue=self._bucket.describe(),
            profiles=",".join(self._profiles),
            device=self._board.agent.device,
        )
        self._supervisor.ready()
        while self._fatal is None and not self._draining.is_set():
            self._feed_watchdog()
            self._daily.tell_if_due(self._board.agent)
            self._wake.clear()
            self._heed_pause(pipeline)
            claimable = self._look(pipeline)
            if until_idle and not claimable and pipeline.has_nothing_to_do():
                return
            self._check_threads(pipeline)
            self._wake.wait(self._pace.pause())
        self._drain(pipeline)

    def _heed_pause(self, pipeline: Pipeline) -> None:
        """Halt or resume as last told; while paused, the GPU is others'."""
        pause = self._pause
        if pause is None:
            if self._is_paused:
                self._resume(pipeline)
            return
        if not self._is_paused:
            log_event(logger, logging.INFO, "paused", why=pause.in_words())
        self._is_paused = True
        self._board.set_state("paused", pause.in_words())
        self._heartbeat.hurry_if_new()
        pipeline.halt(Halt.PAUSED)
        if pipeline.is_drained():
            self._worker.release()

    def _resume(self, pipeline: Pipeline) -> None:
        """Claim again, once the GPU takes the models; it may still be in others' use."""
        try:
            self._gpu.look_after()
            self._gpu.make_sure()
        except TransientError as error:
            self._board.set_state("waiting", error.message)
        else:
            log_event(logger, logging.INFO, "resumed")
            self._is_paused = False
            self._board.set_state("listening")
            self._pace.note_activity()
            pipeline.resume()
        self._heartbeat.hurry_if_new()

    def _look(self, pipeline: Pipeline) -> bool:
        """Scan once, settle what is owed, claim what fits; whether it is worth looking again."""
        try:
            if self._doorbell is not None:
                self._doorbell.supervise()
            # Before the listing: what a stage settles while it is made is no stray.
            waiting = {entry.draft.job_id for entry in self._outbox.entries()}
            in_hand = waiting | set(self._board.jobs())
            pipeline.notice_waiting(waiting)
            view = scan(self._bucket)
            self._settle_debts(view, in_hand)
            progressed = self._claim(view, pipeline)
            self._log_unusable(view)
            return progressed
        except (StoreUnavailableError, LocalDiskError) as error:
            log_error(logger, logging.WARNING, "queue not looked at", error)
            return False

    def _settle_debts(self, view: QueueView, in_hand: set[str]) -> None:
        for job in self._reaper.heal(view, self._board.heartbeat(), keep=in_hand):
            with job_log_context(job.name.job_id, job.name.fence, SETTLE):
                log_event(logger, logging.WARNING, "stray claim settled")
        for job in self._reaper.reap(view):
            with job_log_context(job.name.job_id, job.name.fence, SETTLE):
                log_event(logger, logging.WARNING, "lost job returned", owner=job.agent)
        for info in view.misnamed:
            self._desk.reject_misnamed(info)
        self._desk.forget_moved(view)

    def _log_unusable(self, view: QueueView) -> None:
        """Log once what is passed over, and show it in the heartbeat."""
        unusable = (*view.unusable, *self._desk.passed_over, *self._reaper.passed_over)
        self._unusable_log.update(unusable)
        self._board.set_passed_over([item.in_words for item in unusable])

    def _claim(self, view: QueueView, pipeline: Pipeline) -> bool:
        waiting = [job for job in view.pending if job.name.profile in self._profiles]
        self._pending = len(waiting)
        if self._is_paused:
            return False
        if waiting or self._board.jobs():
            self._pace.note_activity()
        is_asked = bool(waiting) or not self._gate.has_answered
        problem = self._reason_to_wait() if is_asked else self._sickness()
        # After the question: a GPU that is well has loaded its models.
        self._note_models()
        if problem is not None and problem != self._board.agent.reason:
            # Once: what keeps it from claiming may last for days.
            log_event(logger, logging.WARNING, "not claiming", why=problem)
        self._board.set_state("listening" if problem is None else "waiting", problem or "")
        if problem is not None or not waiting:
            return False
        progressed = False
        for job in waiting:
            if not pipeline.has_room() or self._draining.is_set() or self._pause is not None:
                return True
            if pipeline.holds(job.name.job_id):
                continue
            claim = self._desk.try_claim(job)
            if claim is not None:
                with job_log_context(claim.job_id, claim.attempt, Stage.CLAIMED):
                    log_event(logger, logging.INFO, "job claimed")
                pipeline.accept(claim)
                progressed = True
        return progressed

    def _sickness(self) -> str | None:
        """What keeps the agent from working, whether there is something to do or not."""
        problem = self._gpu.problem
        return None if problem is None else problem.message

    def _reason_to_wait(self) -> str | None:
        """Why nothing may be claimed now, or None."""
        if not self._lease.is_held():
            return "the heartbeat does not get through"
        try:
            free = self._folders.free_bytes() / GIGABYTE
        except LocalDiskError as error:
            return error.message
        if free < self._config.min_free_gb:
            return f"only {free:.1f} GB free under the work folder: free space on its disk"
        problem = self._orthanc_problem()
        return self._sickness() if problem is None else problem.message

    def _orthanc_problem(self) -> SegRelayError | None:
        """Why Orthanc cannot be used now, or None."""
        try:
            return self._gate.problem()
        except FixConfigurationError as error:
            self._fail(error)
            return error

    def _is_orthanc_there(self) -> bool:
        """Whether Orthanc answers now; asked when a transfer has failed."""
        self._gate.doubt()
        return self._orthanc_problem() is None

    def _figures(self) -> MetricsSnapshot:
        return MetricsSnapshot(
            agent=self._config.agent_id,
            state=self._board.agent.state,
            counts=self._tally.counts(),
            pending=self._pending,
            in_hand=len(self._board.jobs()),
            outbox=self.waiting,
            set_aside=len(read_entries(refused_folder(self._config.home))),
            free_bytes=self._folders.free_bytes(),
            gpu_is_well=self._gpu.problem is None,
            gpu_peak_bytes=self._worker.gpu_peak_bytes,
            worker_bytes=self._worker.size_bytes,
        )

    def _feed_watchdog(self) -> None:
        """Called where the loop turns: whoever hears nothing for long starts the agent anew."""
        if self._heartbeat.is_well():
            said = self._board.agent
            self._supervisor.alive(f"{said.state}: {said.reason}" if said.reason else said.state)

    def _check_threads(self, pipeline: Pipeline) -> None:
        threads = (pipeline, self._heartbeat, self._control)
        if self._fatal is None and not all(thread.is_alive() for thread in threads):
            self._fail(AttemptFailedError("A thread of the agent has ended.", code="thread-died"))

    def _drain(self, pipeline: Pipeline) -> None:
        """Let the stages finish what they have.

        A second stop, a fatal error or the limit ends it; then what is left is handed back.
        """
        self._board.set_state("draining")
        self._heartbeat.hurry_if_new()
        self._supervisor.stopping()
        log_event(logger, logging.INFO, "draining", minutes=self._config.drain_minutes)
        limit = time.monotonic() + self._config.drain_minutes * 60
        pipeline.halt(Halt.STOPPED)
        while not self._is_done(pipeline):
            is_late = time.monotonic() > limit
            if is_late or self._must_end_now(pipeline):
                why = "the limit is reached" if is_late else "a second stop, or an error"
                log_event(logger, logging.WARNING, "cancelling", why=why)
                pipeline.cancel()
                return
            self._feed_watchdog()
            self._cancelled.wait(0.2)

    def _is_done(self, pipeline: Pipeline) -> bool:
        # With wrong settings a SEG can wait for ever; it is safe in the outbox.
        return pipeline.has_nothing_to_do() if self._fatal is None else pipeline.is_drained()

    def _must_end_now(self, pipeline: Pipeline) -> bool:
        return (
            self._cancelled.is_set()
            or isinstance(self._fatal, LeaseLostError)
            or not pipeline.is_alive()
        )

    def _end(self) -> None:
        self._control.close()
        if self._metrics is not None:
            self._metrics.close()
        if self._pipeline is not None:
            self._pipeline.stop()
        self._worker.close()
        if self._doorbell is not None:
            self._doorbell.close()
        self._heartbeat.stop()
        self._client.close()
        log_event(logger, logging.INFO, "stopped", waiting=self.waiting)

    def _fail(self, error: SegRelayError) -> None:
        """Remember the error that ends the agent; called from any thread."""
        if self._fatal is None:
            self._fatal = error
        self._wake.set()

    def _lease_lost(self) -> None:
        self._fail(LeaseLostError(f"Another process took over agent id {self._config.agent_id}."))


def _directory_of(bucket: Bucket) -> Path | None:
    """Where a queue that is a directory lies."""
    inner = bucket.inner if isinstance(bucket, SealedBucket) else bucket
    return inner.root if isinstance(inner, LocalBucket) else None
