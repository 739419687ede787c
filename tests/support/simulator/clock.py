"""The only clock of a history: the store's; machines have their own, which are wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Clock:
    """The store's time; moves only when the history moves it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """The store's time of day."""
        return START + timedelta(seconds=self.seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


class MachineClock:
    """A computer's own clock: counts seconds rightly and shows the wrong time of day."""

    def __init__(self, clock: Clock, skew: float) -> None:
        self._clock = clock
        self._skew = timedelta(seconds=skew)

    def __call__(self) -> float:
        """Seconds since some moment."""
        return self._clock.seconds

    def wall(self) -> datetime:
        """What it shows: never to be compared with the store's time."""
        return self._clock.now() + self._skew
