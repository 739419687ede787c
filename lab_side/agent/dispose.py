"""What becomes of an attempt that ended without a SEG: a pure decision, carried out elsewhere.

=====================================  ===========================================================
the attempt ended because …            what becomes of it
=====================================  ===========================================================
the claim is another process's by now  nothing: that process decides
its manifest cannot be believed        it is set aside, the reason beside it
it can never succeed                   the job fails with a result
the worker or the agent broke          the attempt fails; the job fails when all are used up
Orthanc's answers make no sense        it is handed back after a pause; in the end it fails
something is not ready, or the agent   it is handed back, after a pause or at once
stops or pauses
=====================================  ===========================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from lab_side.agent.health.signals import Halt
from segrelay import retry
from segrelay.errors import (
    AttemptFailedError,
    FixConfigurationError,
    InferenceError,
    ManifestRejectedError,
    OrthancUnavailableError,
    PermanentError,
    QueueConflictError,
    SegRelayError,
    TransientError,
)
from segrelay.orthanc import UnexpectedAnswerError

_NO_WAIT = (*(halt.error().code for halt in Halt), "labels")
"""Another agent may have the job at once."""

_KILLED = ("worker-stopped", "gpu-sick")
"""Codes of a worker that may have been ended by this agent."""

_BUG = "stage-died"
"""Code of a defect of the agent itself, which says nothing of the GPU."""


class Action(Enum):
    """What is done with the claim."""

    LEAVE = "leave"
    SET_ASIDE = "set aside"
    FAIL_JOB = "fail the job"
    FAIL_ATTEMPT = "fail the attempt"
    HAND_BACK = "hand back"
    HAND_BACK_OR_FAIL = "hand back, in the end fail"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of one attempt."""

    action: Action
    error: SegRelayError
    """The reason that is recorded."""
    started: bool = False
    """Whether the GPU worker had been given the job."""
    max_attempts: int | None = None
    """The manifest's; None where it has not been read."""
    wait: timedelta = timedelta(0)
    """Before the job may be claimed again."""
    tests_gpu: bool = False
    """Whether the GPU is tested before the next job."""
    is_ours: bool = False
    """Whether it counts among the failures in a row that pause this agent."""
    ends_agent: bool = False
    """Whether an operator must fix a setting first."""


def decide(
    error: SegRelayError,
    *,
    attempt: int,
    halt: Halt,
    is_cancelled: bool = False,
    started: bool = False,
    max_attempts: int | None = None,
) -> Decision:
    """Decide what becomes of an attempt that an error has ended.

    Parameters
    ----------
    halt, is_cancelled:
        Why this agent takes no jobs, when it takes none, and whether it has killed its worker.
    """
    is_killed = is_cancelled and error.code in _KILLED
    if is_killed or error.code == "stopping":
        # It was this agent that broke the work off.
        error = halt.error()
    action = _action(error)
    is_returned = action in (Action.HAND_BACK, Action.HAND_BACK_OR_FAIL)
    is_bug = error.code == _BUG
    is_workers = started and isinstance(error, (AttemptFailedError, InferenceError)) and not is_bug
    return Decision(
        action=action,
        error=error,
        started=started,
        max_attempts=max_attempts,
        wait=_wait(error, attempt) if is_returned else timedelta(0),
        tests_gpu=is_workers,
        is_ours=is_workers or is_bug,
        ends_agent=isinstance(error, FixConfigurationError),
    )


def _action(error: SegRelayError) -> Action:
    for kind, action in (
        (QueueConflictError, Action.LEAVE),
        (ManifestRejectedError, Action.SET_ASIDE),
        (PermanentError, Action.FAIL_JOB),
        (AttemptFailedError, Action.FAIL_ATTEMPT),
        (UnexpectedAnswerError, Action.HAND_BACK_OR_FAIL),
    ):
        if isinstance(error, kind):
            return action
    return Action.HAND_BACK


def _wait(error: SegRelayError, attempt: int) -> timedelta:
    if not isinstance(error, TransientError) or error.code in _NO_WAIT:
        return timedelta(0)
    # While Orthanc is away, the gate waits longer and longer for all jobs at once.
    is_for_all = isinstance(error, OrthancUnavailableError)
    return timedelta(seconds=retry.HANDED_BACK.pause(0 if is_for_all else attempt - 1))
