"""How long the agent waits between two scans of the queue.

A scan of a cloud bucket costs money (one listing), one of a directory does not. So a
cloud bucket is scanned often for some minutes after there was something to do, and seldom
when nothing has happened for a while. Pauses are spread at random: agents that were started
together, or a site's many jobs, would otherwise ask in the same moment for ever.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

ACTIVE_FOR = 300.0
"""Seconds after the last activity in which the short pause holds."""

RUNG = 90.0
"""Seconds between two scans where every arrival wakes the agent: what is left then (a retry that is
due, a dead agent's claim) can wait."""

JITTER = 0.2
"""Each pause is longer or shorter by up to this share."""


class PollInterval:
    """The pause before the next scan.

    Parameters
    ----------
    active, idle:
        Seconds between two scans soon after activity, and otherwise.
    is_rung:
        Whether each arrival wakes the agent now: then ``idle`` holds soon after activity, and
        :data:`RUNG` otherwise.
    """

    def __init__(
        self,
        *,
        active: float,
        idle: float,
        is_rung: Callable[[], bool] = bool,
        monotonic: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._active = active
        self._idle = max(active, idle)
        self._is_rung = is_rung
        self._monotonic = monotonic
        self._chance = random.Random() if chance is None else chance  # noqa: S311
        self._last_activity = monotonic()

    def note_activity(self) -> None:
        """Something was there to do: more may follow."""
        self._last_activity = self._monotonic()

    def pause(self) -> float:
        """Return the seconds until the next scan."""
        is_active = self._monotonic() - self._last_activity < ACTIVE_FOR
        soon, later = self._active, self._idle
        if self._is_rung():
            soon, later = self._idle, max(self._idle, RUNG)
        middle = soon if is_active else later
        return middle * self._chance.uniform(1 - JITTER, 1 + JITTER)
