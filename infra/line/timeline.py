"""Actions planned for a time, run in order; the owner says how late it is."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[float], None]
"""Called with the time for which it was planned, which may be a little past."""


class Timeline:
    """A heap of planned actions. Times are seconds of any one clock.

    Each action gets its own time, not that of the call: a line whose program was late
    still carries as much as it would have in time.
    """

    def __init__(self) -> None:
        self._planned: list[tuple[float, int, Action]] = []
        self._count = 0

    def at(self, when: float, action: Action) -> None:
        """Plan ``action``; those of the same time happen in the order of planning."""
        self._count += 1
        heapq.heappush(self._planned, (when, self._count, action))

    def run(self, now: float) -> None:
        """Do what is due at ``now``, and what becomes due by it."""
        while self._planned and self._planned[0][0] <= now:
            when, _, action = heapq.heappop(self._planned)
            action(when)

    @property
    def next(self) -> float | None:
        """When the next action is due; None where nothing is planned."""
        return self._planned[0][0] if self._planned else None
