"""Whether the GPU can be trusted with the next job.

::

    well ──a job fails in the worker──▶ in doubt ──every network runs in a new process──▶ well
                                           │  ▲
                                           ▼  │ after a pause that doubles
                                          sick: nothing is claimed, the heartbeat says why

A process whose GPU context is broken is cured by its end alone, so the test begins with a new
one. What it cannot load now it could load when the agent started: that is no wrong setting.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from lab_side.log import log_error, log_event
from lab_side.worker.client import WorkerProcess
from segrelay import retry
from segrelay.errors import LimitReachedError, SegRelayError, TransientError
from segrelay.notices import Notice, notice, notice_of

logger = logging.getLogger("segrelay.gpu")


class GpuHealth:
    """What the last self-test of the worker has shown; safe to read from any thread."""

    def __init__(
        self, worker: WorkerProcess, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._worker = worker
        self._monotonic = monotonic
        self._problem: TransientError | None = None
        self._failures = 0
        """Self-tests in a row."""
        self._notice: Notice | None = None
        self._due = 0.0

    @property
    def problem(self) -> TransientError | None:
        """Why no job may be begun; None when all is well."""
        return self._problem

    @property
    def notice(self) -> Notice | None:
        """The reason as a notice of the heartbeat."""
        return self._notice

    def doubt(self, error: SegRelayError) -> None:
        """A job has failed in the worker: claim nothing until :meth:`examine` is through."""
        self._claim_nothing(notice("gpu-tested", code=error.code))
        self._due = self._monotonic()

    def examine(self) -> None:
        """Run every network in a new worker process."""
        began = self._monotonic()
        try:
            self._worker.renew()
        except SegRelayError as error:
            self.fall_sick(error)
        else:
            seconds = round(self._monotonic() - began, 1)
            log_event(logger, logging.INFO, "self-test passed", seconds=seconds)
            self._problem, self._notice, self._failures = None, None, 0

    def test_if_due(self) -> None:
        """Test again, if the GPU is sick and it is time to."""
        if self._problem is not None and self._monotonic() >= self._due:
            self.examine()

    def make_sure(self) -> None:
        """Right before a job: the worker runs and has its models.

        Raises
        ------
        TransientError
            ``gpu-sick``
        """
        if self._problem is None:
            try:
                self._worker.make_ready()
            except SegRelayError as error:
                self.fall_sick(error)
        if self._problem is not None:
            raise self._problem

    def fall_sick(self, error: SegRelayError) -> None:
        """A test has failed, or the first load: claim nothing until a later one passes."""
        pause = retry.GPU_TEST.pause(self._failures)
        self._failures += 1
        self._due = self._monotonic() + pause
        if isinstance(error, LimitReachedError):
            self._problem, self._notice = error, notice_of(error)
        else:
            text = f"The GPU's self-test failed: {error.message}"
            self._claim_nothing(notice("gpu-test-failed", text=text, why=error.code))
        log_error(logger, logging.ERROR, "self-test failed", error, again_in=round(pause))

    def _claim_nothing(self, why: Notice) -> None:
        self._notice = why
        self._problem = TransientError(
            why.text,
            code="gpu-sick",
            remedy="It is tested again by itself. If it stays so: close other programs on the GPU, "
            "look at nvidia-smi, restart the computer; lab-agent doctor tells more.",
        )
