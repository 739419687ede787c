"""What the agent's threads signal to each other: scan again, pause, halt, drain, end."""

from __future__ import annotations

import threading
from enum import Enum

from lab_side.agent.health.control import Drain, Pause
from segrelay.errors import LeaseLostError, SegRelayError, TransientError


class Halt(Enum):
    """Why a job that nothing is wrong with is handed back: another agent may have it at once."""

    STOPPED = ("stopping", "The agent was stopped.")
    PAUSED = ("paused", "The agent was paused.")

    def error(self) -> TransientError:
        """The reason as a job's attempt record has it."""
        code, message = self.value
        return TransientError(message, code=code)


class Signals:
    """State that every thread may read and set.

    Parameters
    ----------
    cancelled:
        Set when the stages must end now; everything that waits, waits for it.
    """

    def __init__(self, cancelled: threading.Event | None = None) -> None:
        self.wake = threading.Event()
        """The queue is scanned again at once."""
        self.draining = threading.Event()
        """An end was ordered: jobs are finished or handed back first."""
        self.must_cancel = threading.Event()
        """It was ordered twice: jobs are handed back unfinished."""
        self.halted = threading.Event()
        """No further job is begun; :attr:`halt_reason` says why."""
        self.halt_reason = Halt.STOPPED
        self.cancelled = threading.Event() if cancelled is None else cancelled
        self.pause: Pause | None = None
        """As last ordered."""
        self.is_paused = False
        """Whether the loop has acted on it."""
        self.fatal: SegRelayError | None = None
        """The first error that ends the agent."""

    def stop(self) -> None:
        """First call: drain. Second call: cancel. Safe in a signal handler."""
        self.drain(cancel=self.draining.is_set())

    def drain(self, *, cancel: bool = False) -> None:
        """End, with the jobs in hand finished unless ``cancel``."""
        if cancel:
            self.must_cancel.set()
        self.draining.set()
        self.wake.set()

    def on_drain(self, order: Drain) -> None:
        """An operator's order to drain has come."""
        self.drain(cancel=order.cancel)

    def on_pause(self, pause: Pause | None) -> None:
        """An operator, or the circuit breaker, has ordered a pause, or taken it back."""
        self.pause = pause
        self.wake.set()

    def halt(self, why: Halt) -> None:
        """Begin no further job."""
        self.halt_reason = why
        self.halted.set()

    def fail(self, error: SegRelayError) -> None:
        """Remember the error that ends the agent."""
        if self.fatal is None:
            self.fatal = error
        self.wake.set()

    @property
    def may_claim(self) -> bool:
        """Whether no order keeps the agent from claiming."""
        return not (self.halted.is_set() or self.draining.is_set() or self.pause is not None)

    @property
    def must_end_now(self) -> bool:
        """Whether what is in hand must not be finished."""
        return self.must_cancel.is_set() or isinstance(self.fatal, LeaseLostError)
