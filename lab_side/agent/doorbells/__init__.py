"""What shortens the wait for a job, by the kind of queue; the scan of the queue is the truth."""

from __future__ import annotations

from typing import Protocol


class Doorbell(Protocol):
    """Wakes the agent's loop when something may have become pending; it may miss any of it."""

    def supervise(self) -> None:
        """Make sure that something listens; called at every scan."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...
