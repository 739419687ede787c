"""What becomes of an attempt, as a table: each error, when, and the decision."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lab_side.agent.dispose import Action, decide
from lab_side.agent.health.signals import Halt
from segrelay import errors, retry
from segrelay.errors import (
    AttemptFailedError,
    FixConfigurationError,
    InferenceError,
    LeaseLostError,
    LocalDiskError,
    ManifestRejectedError,
    OrthancUnavailableError,
    SegRelayError,
    SeriesRefusedError,
    TransientError,
)
from segrelay.orthanc import UnexpectedAnswerError

AT_ONCE = timedelta(0)
PAUSE = timedelta(seconds=retry.HANDED_BACK.first)
HAND_BACK = Action.HAND_BACK
STOPPED, LABELS = Halt.STOPPED.error(), TransientError("x", code="labels")
SICK, KILLED = (TransientError("x", code=code) for code in ("gpu-sick", "worker-stopped"))


@pytest.mark.parametrize(
    ("error", "attempt", "action", "wait"),
    [
        (LeaseLostError("x"), 1, Action.LEAVE, AT_ONCE),
        (ManifestRejectedError("x"), 1, Action.SET_ASIDE, AT_ONCE),
        (SeriesRefusedError("x"), 1, Action.FAIL_JOB, AT_ONCE),
        (InferenceError("x"), 1, Action.FAIL_JOB, AT_ONCE),
        (AttemptFailedError("x"), 1, Action.FAIL_ATTEMPT, AT_ONCE),
        (UnexpectedAnswerError("x"), 1, Action.HAND_BACK_OR_FAIL, PAUSE),
        (OrthancUnavailableError("x"), 5, HAND_BACK, PAUSE),
        (LocalDiskError("x"), 1, HAND_BACK, PAUSE),
        (LocalDiskError("x"), 3, HAND_BACK, PAUSE * 4),
        (SICK, 99, HAND_BACK, PAUSE * 32),
        (STOPPED, 3, HAND_BACK, AT_ONCE),
        (Halt.PAUSED.error(), 3, HAND_BACK, AT_ONCE),
        (LABELS, 3, HAND_BACK, AT_ONCE),
        (FixConfigurationError("x"), 3, HAND_BACK, AT_ONCE),
    ],
    ids=str,
)
def test_what_becomes_of_it(
    error: SegRelayError, attempt: int, action: Action, wait: timedelta
) -> None:
    decision = decide(error, attempt=attempt, halt=Halt.STOPPED)
    assert (decision.action, decision.wait) == (action, wait)
    assert decision.ends_agent is isinstance(error, FixConfigurationError)
    assert (decision.tests_gpu, decision.is_ours) == (False, False)


@pytest.mark.parametrize(
    ("error", "started", "tests_gpu", "is_ours"),
    [
        (AttemptFailedError("x"), True, True, True),
        (InferenceError("x"), True, True, True),
        (AttemptFailedError("x"), False, False, False),
        (AttemptFailedError("x", code="stage-died"), True, False, True),
        (SeriesRefusedError("x"), True, False, False),
        (LocalDiskError("x"), True, False, False),
    ],
    ids=str,
)
def test_whose_fault_it_is(
    error: SegRelayError, started: bool, tests_gpu: bool, is_ours: bool
) -> None:
    decision = decide(error, attempt=1, halt=Halt.STOPPED, started=started)
    assert (decision.tests_gpu, decision.is_ours) == (tests_gpu, is_ours)


@pytest.mark.parametrize(
    ("error", "is_cancelled", "code"),
    [
        (KILLED, True, "paused"),
        (SICK, True, "paused"),
        (STOPPED, False, "paused"),
        (KILLED, False, "worker-stopped"),
        (LocalDiskError("x"), True, "local-disk"),
    ],
    ids=str,
)
def test_work_that_the_agent_broke_off_has_the_agents_reason(
    error: SegRelayError, is_cancelled: bool, code: str
) -> None:
    decision = decide(error, attempt=1, halt=Halt.PAUSED, is_cancelled=is_cancelled)
    assert decision.error.code == code


def test_every_error_has_a_decision() -> None:
    for name in errors.__all__:
        decision = decide(getattr(errors, name)("x"), attempt=1, halt=Halt.STOPPED)
        assert decision.action in Action
