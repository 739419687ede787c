"""When the GPU is trusted with a job, and when it is asked again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from lab_side.agent.health.gpu import GpuHealth
from segrelay.errors import (
    AttemptFailedError,
    FixConfigurationError,
    InferenceError,
    SegRelayError,
    TransientError,
)
from segrelay.retry import GPU_TEST

FAILED = AttemptFailedError("The worker ended.", code="worker-died")


@dataclass
class Worker:
    """Says what it is asked for, and fails with what the test says."""

    error: SegRelayError | None = None
    calls: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.gpu = GpuHealth(cast(Any, self), monotonic=lambda: self.seconds)

    def renew(self) -> None:
        self._answer("renew")

    def make_ready(self) -> None:
        self._answer("make_ready")

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error


def test_a_job_is_begun_with_a_worker_that_is_ready() -> None:
    worker = Worker()
    worker.gpu.make_sure()
    worker.gpu.test_if_due()
    assert worker.calls == ["make_ready"]
    assert worker.gpu.problem is None


def test_after_a_failed_job_nothing_is_claimed_until_the_self_test_has_passed() -> None:
    worker = Worker()
    worker.gpu.doubt(FAILED)
    assert worker.gpu.problem is not None
    assert "worker-died" in worker.gpu.problem.message
    with pytest.raises(TransientError) as caught:
        worker.gpu.make_sure()
    assert caught.value.code == "gpu-sick"
    worker.gpu.examine()
    assert worker.calls == ["renew"]
    assert worker.gpu.problem is None


@pytest.mark.parametrize(
    "error",
    [
        AttemptFailedError("The GPU failed.", code="gpu-error"),
        InferenceError("Not finite.", code="output-not-finite"),
        FixConfigurationError("The device 'cuda' cannot be used.", code="device"),
    ],
)
def test_a_sick_gpu_is_tested_again_after_pauses_that_double(error: SegRelayError) -> None:
    worker = Worker(error=error)
    worker.gpu.doubt(FAILED)
    worker.gpu.examine()
    first, most = GPU_TEST.first, GPU_TEST.longest
    pauses = []
    for _ in range(8):
        tests, began = len(worker.calls), worker.seconds
        while len(worker.calls) == tests:
            worker.seconds += 1
            worker.gpu.test_if_due()
        pauses.append(worker.seconds - began)
    assert pauses[:3] == [first, 2 * first, 4 * first]
    assert pauses[-1] == most
    assert worker.gpu.problem is not None
    assert error.message in worker.gpu.problem.message

    worker.error = None
    worker.seconds += most
    worker.gpu.test_if_due()
    assert worker.gpu.problem is None
    worker.error = error
    worker.gpu.doubt(FAILED)
    worker.gpu.examine()
    worker.seconds += first
    tests = len(worker.calls)
    worker.gpu.test_if_due()
    assert len(worker.calls) == tests + 1, "the pauses begin anew"


def test_a_worker_that_cannot_be_made_ready_costs_the_job_nothing() -> None:
    worker = Worker(error=AttemptFailedError("No memory.", code="out-of-memory"))
    with pytest.raises(TransientError) as caught:
        worker.gpu.make_sure()
    assert caught.value.code == "gpu-sick"
    assert worker.gpu.problem is caught.value
