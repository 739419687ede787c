"""Calls that wait for a job: held while nothing is new, by few threads and one query for all.

A thread of the server is busy as long as it holds a call. So only so many are held in a process
as its settings allow, and every other is answered at once. One thread looks into the database for
all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.db import close_old_connections, connections

from segrelay.errors import SegRelayError

LOOK_EVERY = 0.1
"""Seconds between two looks into the database while a call is held."""


class WaitingCalls:
    """The calls that one process holds; thread-safe.

    Parameters
    ----------
    change:
        Returns what differs when something is new (:meth:`DatabaseBucket.change`).
    """

    def __init__(self, change: Callable[[], str]) -> None:
        self._change = change
        self._condition = threading.Condition()
        self._held = 0
        self._seen = ""
        self._looker: threading.Thread | None = None

    def wait(self, change: str, seconds: float, *, most: int) -> tuple[str, bool]:
        """Hold a call until something is new or the time is over.

        Parameters
        ----------
        change:
            What the caller knows; it is answered at once where this is not the newest.
        seconds:
            For which it is held at most.
        most:
            Calls that may be held at once, this one included.

        Returns
        -------
        The newest, and whether the caller was held or need not have been.

        Raises
        ------
        SegRelayError
            The database does not answer.
        """
        newest = self._change()
        if newest != change or seconds <= 0:
            return newest, True
        until = time.monotonic() + seconds
        with self._condition:
            if self._held >= most:
                return newest, False
            self._held += 1
            self._seen = newest
            try:
                self._look()
                while self._seen == change and time.monotonic() < until:
                    self._condition.wait(until - time.monotonic())
                return self._seen, True
            finally:
                self._held -= 1

    def _look(self) -> None:
        """Start the thread that looks into the database, unless it runs; holds the lock."""
        if self._looker is None:
            self._looker = threading.Thread(target=self._watch, name="labseg-waiting", daemon=True)
            self._looker.start()

    def _watch(self) -> None:
        try:
            while self._is_wanted():
                newest = self._newest()
                with self._condition:
                    if newest is not None and newest != self._seen:
                        self._seen = newest
                        self._condition.notify_all()
                time.sleep(LOOK_EVERY)
        finally:
            with self._condition:
                if self._looker is threading.current_thread():
                    self._looker = None
            # Each thread has connections of its own, which end with it.
            connections.close_all()

    def _is_wanted(self) -> bool:
        """Return whether anybody waits; else the next call starts another thread."""
        with self._condition:
            if not self._held:
                self._looker = None
            return self._held > 0

    def _newest(self) -> str | None:
        try:
            return self._change()
        except SegRelayError:
            # The callers' own next request says what is wrong.
            close_old_connections()
            return None
