"""Waits for jobs at the site that keeps the queue: one call is open all the time.

The site answers it when something has become pending, and after half a minute at the latest. One
without threads to spare answers at once, and is asked again after some time.
"""

from __future__ import annotations

import logging
import threading

from lab_side.agent.doorbells.listening import ListeningDoorbell, logger
from lab_side.log import log_event
from segrelay.bucket.site import SiteBucket
from segrelay.bucket.site_messages import LONGEST_WAIT

NO_THREADS_PAUSE = 300.0
"""Seconds before a site that holds no call is asked to hold one again."""


class SiteDoorbell(ListeningDoorbell):
    """Sets ``rang`` when a job may have become pending.

    Parameters
    ----------
    bucket:
        The queue.
    rang:
        Wakes the agent's loop.
    """

    def __init__(self, bucket: SiteBucket, rang: threading.Event) -> None:
        super().__init__(rang)
        self._bucket = bucket
        self._change = ""

    def _listen(self) -> float:
        is_held = self._call()
        if self._is_listening and not is_held:
            log_event(logger, logging.INFO, "calls for jobs not held by the site")
        self._is_listening = is_held
        return 0.0 if is_held else NO_THREADS_PAUSE

    def _call(self) -> bool:
        """Wait once; returns whether the site holds such calls."""
        known = self._change
        self._change, is_held = self._bucket.wait(known, LONGEST_WAIT if known else 0.0)
        if known != self._change:
            self._rang.set()
        return is_held
