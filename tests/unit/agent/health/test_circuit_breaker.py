"""When job after job fails here, the agent pauses."""

from __future__ import annotations

from datetime import timedelta

from lab_side.agent.health.circuit_breaker import CircuitBreaker
from lab_side.agent.health.control import REASON_LENGTH, Pause
from segrelay.errors import AttemptFailedError, LocalDiskError
from segrelay.manifest import utc_now
from segrelay.retry import FAILURES_IN_A_ROW

FAILED = AttemptFailedError("The worker ended.", code="worker-died")
LONGEST_CODE = AttemptFailedError("m", code="c" * 64)


class Ordered:
    """The pauses that were ordered."""

    def __init__(self, limit: int) -> None:
        self.pauses: list[Pause] = []
        self.guard = CircuitBreaker(limit, pause=self.pauses.append)

    def fail(self, *jobs: str) -> int:
        for job in jobs:
            self.guard.failed(job, FAILED)
        return len(self.pauses)


def test_different_jobs_in_a_row_pause_the_agent() -> None:
    ordered = Ordered(3)
    assert ordered.fail("a", "b") == 0
    ordered.guard.succeeded()
    assert ordered.fail("a", "b") == 0
    assert ordered.fail("c") == 1
    (pause,) = ordered.pauses
    assert pause.reason == "3 different jobs in a row failed here, the last with worker-died"
    assert pause.until is not None
    assert pause.until - pause.at == timedelta(seconds=FAILURES_IN_A_ROW.first)
    assert not pause.is_over(utc_now())


def test_one_poison_job_pauses_nobody() -> None:
    assert Ordered(2).fail(*["a"] * 10) == 0


def test_until_a_job_succeeds_each_failure_pauses_for_twice_as_long() -> None:
    ordered = Ordered(2)
    ordered.fail(*"abcdefghijkl")
    lengths = [pause.until - pause.at for pause in ordered.pauses if pause.until is not None]
    policy = FAILURES_IN_A_ROW
    first, most = timedelta(seconds=policy.first), timedelta(seconds=policy.longest)
    assert lengths[:3] == [first, 2 * first, 4 * first]
    assert lengths[-1] == most
    ordered.guard.succeeded()
    before = len(ordered.pauses)
    assert ordered.fail("m") == before
    assert ordered.fail("n") == before + 1
    until = ordered.pauses[-1].until
    assert until is not None
    assert until - ordered.pauses[-1].at == first


def test_it_can_be_turned_off() -> None:
    assert Ordered(0).fail(*"abcdefghijkl") == 0


def test_the_reason_always_has_room() -> None:
    pauses: list[Pause] = []
    guard = CircuitBreaker(100, pause=pauses.append)
    for number in range(1000):
        guard.failed(str(number), LONGEST_CODE)
    assert pauses
    assert all(len(pause.reason) <= REASON_LENGTH for pause in pauses)


def test_a_disk_that_takes_no_order_is_no_reason_to_end() -> None:
    def refuse(_order: Pause) -> None:
        raise LocalDiskError("The disk is full.")

    guard = CircuitBreaker(1, pause=refuse)
    guard.failed("a", FAILED)
