"""Waits for jobs at the site that keeps the queue: one call is open all the time.

The site answers it when something has become pending, and after half a minute at the latest. One
without threads to spare answers at once, and is asked again after some time.
"""

from __future__ import annotations

import logging
import threading

from lab_side.log import log_error, log_event
from segrelay.bucket.site import SiteBucket
from segrelay.bucket.site_messages import LONGEST_WAIT
from segrelay.errors import SegRelayError
from segrelay.retry import RetryPolicy

NO_THREADS_PAUSE = 300.0
"""Seconds before a site that holds no call is asked to hold one again."""

FAILED = RetryPolicy(first=1, longest=60, jitter=0.2)
"""After a call that failed: the scan says what is wrong."""

logger = logging.getLogger("segrelay.doorbell")


class SiteDoorbell:
    """Sets ``rang`` when a job may have become pending.

    Parameters
    ----------
    bucket:
        The queue.
    rang:
        Wakes the agent's loop.
    """

    def __init__(self, bucket: SiteBucket, rang: threading.Event) -> None:
        self._bucket = bucket
        self._rang = rang
        self._stopped = threading.Event()
        self._is_listening = False
        self._change = ""
        self._thread: threading.Thread | None = None

    @property
    def is_listening(self) -> bool:
        """Whether the last call was held."""
        return self._is_listening

    def supervise(self) -> None:
        """Start the thread that calls, if it does not run."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._listen, name="doorbell", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Make no further call; the one that is open ends with the process."""
        self._stopped.set()

    def _listen(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                is_held = self._call()
            except SegRelayError as error:
                self._is_listening = False
                if not failures:
                    log_error(logger, logging.WARNING, "waiting for jobs failed", error)
                pause = FAILED.pause(failures)
                failures += 1
            else:
                failures = 0
                self._note(is_held)
                pause = 0.0 if is_held else NO_THREADS_PAUSE
            self._stopped.wait(pause)

    def _call(self) -> bool:
        """Wait once; returns whether the site holds such calls."""
        known = self._change
        self._change, is_held = self._bucket.wait(known, LONGEST_WAIT if known else 0.0)
        if known != self._change:
            self._rang.set()
        return is_held

    def _note(self, is_held: bool) -> None:
        if self._is_listening and not is_held:
            log_event(logger, logging.INFO, "calls for jobs not held by the site")
        self._is_listening = is_held
