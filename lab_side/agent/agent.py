"""The agent's loop: scan, recover, claim; and an orderly end.

Start: Orthanc and the profiles are checked, the agent id is taken over, what a previous
life left is recovered, the models are loaded, and only then jobs are claimed. A pause finishes
what the GPU has, hands back the rest and gives the GPU back; heartbeats and delivery go
on.
End: the first stop drains (finish or hand back within a limit), the second cancels; heartbeats
go on until all is done.
"""

from __future__ import annotations

import logging
import time

from lab_side.agent.claiming import Claiming
from lab_side.agent.doorbells import Doorbell
from lab_side.agent.health.control import ControlWatch
from lab_side.agent.health.heartbeat import Heartbeat
from lab_side.agent.health.orthanc_gate import OrthancGate
from lab_side.agent.health.signals import Halt, Signals
from lab_side.agent.models import ServedModels
from lab_side.agent.pipeline import Pipeline
from lab_side.agent.poll_interval import PollInterval
from lab_side.agent.recovery import Recovery
from lab_side.agent.reporting.daily import DailyLine
from lab_side.agent.reporting.metrics import MetricsServer
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.log import log_error, log_event
from lab_side.service.notify import Supervisor
from lab_side.settings.config import AgentConfig
from segrelay.errors import (
    AttemptFailedError,
    LocalDiskError,
    StoreUnavailableError,
    TransientError,
)
from segrelay.notices import notice_of
from segrelay.queue import AgentState

logger = logging.getLogger("segrelay.agent")


class Agent:
    """One running agent; ``build.build_agent`` makes it."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        signals: Signals,
        status: StatusBoard,
        heartbeat: Heartbeat,
        control: ControlWatch,
        gate: OrthancGate,
        models: ServedModels,
        recovery: Recovery,
        claiming: Claiming,
        pipeline: Pipeline,
        doorbell: Doorbell | None,
        poll_interval: PollInterval,
        daily: DailyLine,
        metrics: MetricsServer | None,
        supervisor: Supervisor,
    ) -> None:
        self._config = config
        self._signals = signals
        self._status = status
        self._heartbeat = heartbeat
        self._control = control
        self._gate = gate
        self._models = models
        self._recovery = recovery
        self._claiming = claiming
        self._pipeline = pipeline
        self._doorbell = doorbell
        self._poll_interval = poll_interval
        self._daily = daily
        self._metrics = metrics
        self._supervisor = supervisor

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
        self._recovery.verify_store()
        previous = self._heartbeat.take_over()
        self._control.start()
        try:
            if self._metrics is not None:
                self._metrics.start()
            self._recovery.begin(previous)
            self._models.load(is_patient=not until_idle)
            self._pipeline.start()
            self._serve(until_idle=until_idle)
        finally:
            self._end()
        if self._signals.fatal is not None:
            raise self._signals.fatal

    @property
    def waiting(self) -> int:
        """How many SEGs wait in the outbox."""
        return self._pipeline.waiting

    @property
    def leaves_jobs(self) -> bool:
        """Whether jobs wait for this agent that something keeps it from claiming."""
        return self._claiming.waiting > 0 and self._status.agent.state is AgentState.WAITING

    @property
    def is_paused(self) -> bool:
        """Whether an ordered pause kept it from claiming."""
        return self._signals.is_paused

    def stop(self) -> None:
        """First call: drain. Second call: cancel. Safe in a signal handler."""
        self._signals.stop()

    def _serve(self, *, until_idle: bool) -> None:
        log_event(
            logger,
            logging.INFO,
            "Listening for jobs",
            agent=self._config.agent_id,
            queue=self._recovery.address,
            profiles=",".join(self._models.profiles),
            device=self._status.agent.device,
        )
        self._supervisor.ready()
        signals = self._signals
        while signals.fatal is None and not signals.draining.is_set():
            self._feed_watchdog()
            self._daily.write_if_due(self._status.agent)
            signals.wake.clear()
            self._heed_pause()
            claimable = self._scan()
            if until_idle and not claimable and self._pipeline.has_nothing_to_do():
                return
            self._check_threads()
            signals.wake.wait(self._poll_interval.pause())
        self._drain()

    def _heed_pause(self) -> None:
        """Halt or resume as last ordered; while paused, the GPU is others'."""
        pause = self._signals.pause
        if pause is None:
            if self._signals.is_paused:
                self._resume()
            return
        if not self._signals.is_paused:
            log_event(logger, logging.INFO, "paused", why=pause.in_words())
        self._signals.is_paused = True
        self._status.set_state(AgentState.PAUSED, pause.notice())
        self._heartbeat.send_soon_if_new()
        self._signals.halt(Halt.PAUSED)
        if self._pipeline.is_drained():
            self._models.release()

    def _resume(self) -> None:
        """Claim again, once the GPU takes the models; it may still be in others' use."""
        try:
            self._models.make_sure()
        except TransientError as error:
            self._status.set_problem(notice_of(error))
        else:
            log_event(logger, logging.INFO, "resumed")
            self._signals.is_paused = False
            self._status.set_problem(None)
            self._poll_interval.note_activity()
            self._signals.halted.clear()
        self._heartbeat.send_soon_if_new()

    def _scan(self) -> bool:
        """Scan once, recover what is owed, claim what fits; whether to scan again at once."""
        try:
            if self._doorbell is not None:
                self._doorbell.supervise()
            view = self._recovery.scan()
            progressed = self._claiming.claim(view)
            if not self._signals.is_paused and (self._claiming.waiting or self._status.jobs()):
                self._poll_interval.note_activity()
            self._recovery.show_passed_over(view)
            return progressed
        except (StoreUnavailableError, LocalDiskError) as error:
            log_error(logger, logging.WARNING, "queue scan failed", error)
            return False

    def _feed_watchdog(self) -> None:
        """Called where the loop turns: the supervisor restarts an agent that is silent for long."""
        if self._heartbeat.is_well():
            said = self._status.agent
            self._supervisor.alive(f"{said.state}: {said.reason}" if said.reason else said.state)

    def _check_threads(self) -> None:
        threads = (self._pipeline, self._heartbeat, self._control)
        if self._signals.fatal is None and not all(thread.is_alive() for thread in threads):
            error = AttemptFailedError("A thread of the agent has ended.", code="thread-died")
            self._signals.fail(error)

    def _drain(self) -> None:
        """Let the stages finish what they have.

        A second stop, a fatal error or the limit ends it; then what is left is handed back.
        """
        self._status.set_state(AgentState.DRAINING)
        self._heartbeat.send_soon_if_new()
        self._supervisor.stopping()
        log_event(logger, logging.INFO, "drain started", minutes=self._config.drain_minutes)
        limit = time.monotonic() + self._config.drain_minutes * 60
        self._signals.halt(Halt.STOPPED)
        while not self._is_done():
            is_late = time.monotonic() > limit
            if is_late or self._signals.must_end_now or not self._pipeline.is_alive():
                why = "the limit is reached" if is_late else "a second stop, or an error"
                log_event(logger, logging.WARNING, "cancellation started", why=why)
                self._pipeline.cancel()
                return
            self._feed_watchdog()
            self._signals.must_cancel.wait(0.2)

    def _is_done(self) -> bool:
        # With wrong settings a SEG can wait for ever; it is safe in the outbox.
        if self._signals.fatal is None:
            return self._pipeline.has_nothing_to_do()
        return self._pipeline.is_drained()

    def _end(self) -> None:
        self._control.close()
        if self._metrics is not None:
            self._metrics.close()
        self._pipeline.stop()
        self._models.close()
        if self._doorbell is not None:
            self._doorbell.close()
        self._heartbeat.stop()
        self._gate.close()
        log_event(logger, logging.INFO, "stopped", waiting=self.waiting)
