"""An attempt with this agent: how it begins, and how a decision on its end is carried out."""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Callable

from lab_side.agent.delivery.deliver import failed_result
from lab_side.agent.dispose import Action, Decision
from lab_side.agent.folders import WorkFolders
from lab_side.agent.health.signals import Signals
from lab_side.agent.reporting.counters import Counters, Outcome
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.log import log_error
from segrelay import retry
from segrelay.errors import (
    FixConfigurationError,
    ManifestRejectedError,
    ObjectNotFoundError,
    ObjectRefusedError,
    PermanentError,
    StoreUnavailableError,
)
from segrelay.queue import AgentQueue, Claim
from segrelay.stages import Stage

logger = logging.getLogger("segrelay.pipeline")


class Attempts:
    """Begins and ends attempts; safe in every thread."""

    def __init__(
        self,
        queue: AgentQueue,
        *,
        status: StatusBoard,
        counters: Counters,
        folders: WorkFolders,
        signals: Signals,
    ) -> None:
        self._queue = queue
        self._status = status
        self._counters = counters
        self._folders = folders
        self._signals = signals

    def begin(self, claim: Claim) -> None:
        """Count a claimed job, and show it in the heartbeat."""
        self._counters.claimed()
        self._status.set_stage(claim.job_id, claim.attempt, Stage.CLAIMED)

    def finish(self, claim: Claim, decision: Decision) -> None:
        """End a job's stay with this agent as decided."""
        log_error(logger, logging.WARNING, "job not finished", decision.error)
        self.persist(lambda: self._carry_out(claim, decision))
        self.forget(claim)
        if decision.ends_agent:
            self._signals.fail(decision.error)

    def forget(self, claim: Claim) -> None:
        """Make room for another job."""
        self._status.remove(claim.job_id)
        self._signals.wake.set()
        shutil.rmtree(self._folders.of(claim.job_id, claim.attempt), ignore_errors=True)

    def persist(self, action: Callable[[], None]) -> None:
        """Repeat until the store has heard of it, or the stages must end now."""
        for tries in itertools.count():
            try:
                action()
            except StoreUnavailableError as error:
                log_error(logger, logging.WARNING, "store not reached", error)
                if self._signals.cancelled.wait(retry.STORE_WRITE.pause(tries)):
                    return
            except ObjectNotFoundError:
                # The claim is gone: another process took this agent for dead.
                return
            except FixConfigurationError as error:
                # For longer than the patience: the next life recovers the claim.
                self._signals.fail(error)
                return
            else:
                return

    def _carry_out(self, claim: Claim, decision: Decision) -> None:
        try:
            outcome = self._dispose_of(claim, decision)
        except ObjectRefusedError as refusal:
            # This job's own file is in the way, and other jobs wait for this stage; the claim
            # is tried again with those of a previous life.
            log_error(logger, logging.WARNING, "job not moved", refusal)
            return
        if outcome is not None:
            self._counters.ended(outcome, decision.error.code)

    def _dispose_of(self, claim: Claim, decision: Decision) -> Outcome | None:
        queue, error, started = self._queue, decision.error, decision.started
        match decision.action, error:
            case Action.LEAVE, _:
                return None
            case Action.SET_ASIDE, ManifestRejectedError():
                queue.reject(claim, error)
                return Outcome.REJECTED
            case Action.FAIL_JOB, PermanentError():
                queue.finish(claim, failed_result(claim, error, now=queue.now()))
                return Outcome.FAILED
            case Action.FAIL_ATTEMPT, _:
                end = queue.fail_attempt(
                    claim, error, started=started, max_attempts=decision.max_attempts
                )
                return Outcome.ATTEMPT_FAILED if end is None else Outcome.FAILED
            case Action.HAND_BACK_OR_FAIL, _:
                end = queue.hand_back_or_fail(claim, error, wait=decision.wait)
                return Outcome.HANDED_BACK if end is None else Outcome.FAILED
            case _:
                queue.hand_back(claim, error, started=started, wait=decision.wait)
                return Outcome.HANDED_BACK
