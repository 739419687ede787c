"""Log objects that are passed over: each once while it is there, and not more than a few."""

from __future__ import annotations

import logging
from collections.abc import Collection

from lab_side.log import log_event
from segrelay.queue.unusable import UnusableObject

MOST_NAMED = 50
"""Objects that are named; of further ones the number is logged."""

logger = logging.getLogger("segrelay.queue")


class UnusableObjectLog:
    """Remembers what was logged, at most :data:`MOST_NAMED` objects."""

    def __init__(self) -> None:
        self._named: set[str] = set()
        self._has_counted = False

    def update(self, unusable: Collection[UnusableObject]) -> None:
        """Log what is new; what is gone may be logged again when it comes back."""
        self._named &= {item.name for item in unusable}
        if len(unusable) <= MOST_NAMED:
            self._has_counted = False
        for item in unusable:
            if item.name in self._named:
                continue
            if len(self._named) < MOST_NAMED:
                self._named.add(item.name)
                log_event(logger, logging.WARNING, "object passed over", what=item.in_words)
            elif not self._has_counted:
                self._has_counted = True
                log_event(logger, logging.WARNING, "more objects passed over", count=len(unusable))
