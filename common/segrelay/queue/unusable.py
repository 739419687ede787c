"""Objects that are in the queue's way: named once, passed over, tried again after a pause.

One file that somebody copied into the queue's folder, or whose owner lets nobody move it, stops
neither an agent nor the site. What is remembered of such objects is bounded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from segrelay import names, retry
from segrelay.errors import SegRelayError

REMEMBERED = 1000
"""Objects; what comes after them is passed over without a try."""


@dataclass(frozen=True, kw_only=True, order=True)
class UnusableObject:
    """An object that the queue cannot use."""

    name: str
    why: str

    @property
    def in_words(self) -> str:
        """Name and reason, printable."""
        return f"{names.as_shown(self.name)}: {self.why}"


@dataclass(frozen=True)
class _Refusal:
    error: SegRelayError
    until: float
    """Of the monotonic clock."""


class PassedOver:
    """What one process could not move; used by the thread that scans."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._refusals: dict[str, _Refusal] = {}

    def is_due(self, name: str) -> bool:
        """Whether the object may be tried: never refused, or its pause is over."""
        refusal = self._refusals.get(name)
        if refusal is None:
            return len(self._refusals) < REMEMBERED
        return self._monotonic() >= refusal.until

    def note(self, name: str, error: SegRelayError) -> bool:
        """Remember a refusal; whether it is the first one of this object."""
        is_first = name not in self._refusals
        self._refusals[name] = _Refusal(error, self._monotonic() + retry.UNUSABLE_OBJECT.pause())
        return is_first

    def forget(self, name: str) -> None:
        """The object was moved after all."""
        self._refusals.pop(name, None)

    def keep(self, listed: Collection[str]) -> None:
        """Forget what is no longer listed."""
        if self._refusals:
            gone = self._refusals.keys() - set(listed)
            self._refusals = {k: v for k, v in self._refusals.items() if k not in gone}

    @property
    def objects(self) -> tuple[UnusableObject, ...]:
        """Everything that is passed over now, by name."""
        return tuple(
            UnusableObject(name=name, why=refusal.error.message)
            for name, refusal in sorted(self._refusals.items())
        )
