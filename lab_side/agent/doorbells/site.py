"""Waits for jobs at the site that keeps the queue: one call is open all the time.

The site answers it when something has become pending, and after half a minute at the latest. One
without threads to spare answers at once, and is asked again after some time. The heartbeat of an
agent that has nothing in hand travels with these calls.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import Protocol

from lab_side.agent.doorbells.listening import ListeningDoorbell, logger
from lab_side.log import log_event
from segrelay.bucket import site_messages as messages
from segrelay.bucket.site import SiteBucket
from segrelay.bucket.site_messages import LONGEST_WAIT
from segrelay.queue.lease import Carried

NO_THREADS_PAUSE = 300.0
"""Seconds before a site that holds no call is asked to hold one again."""


class CarriedHeartbeats(Protocol):
    """Whose heartbeats the calls carry."""

    def carried(self) -> Carried | None:
        """What the next call carries, if anything."""
        ...

    def note_carried(
        self, carried: Carried, updated: datetime | None, held: timedelta = timedelta(0)
    ) -> None:
        """Note when the site has renewed it, and how long before its answer; None: it has not."""
        ...


class SiteDoorbell(ListeningDoorbell):
    """Sets ``rang`` when a job may have become pending.

    Parameters
    ----------
    bucket:
        The queue.
    rang:
        Wakes the agent's loop.
    heartbeat:
        What the calls carry along, as long as the agent has nothing in hand.
    """

    def __init__(
        self, bucket: SiteBucket, rang: threading.Event, heartbeat: CarriedHeartbeats | None = None
    ) -> None:
        super().__init__(rang)
        self._bucket = bucket
        self._heartbeat = heartbeat
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
        carried = None if self._heartbeat is None or not known else self._heartbeat.carried()
        renewal = None
        try:
            self._change, is_held, renewal = self._bucket.wait_alive(
                known, LONGEST_WAIT if known else 0.0, _message(carried)
            )
        finally:
            if self._heartbeat is not None and carried is not None:
                self._heartbeat.note_carried(carried, *(renewal or (None,)))
        if known != self._change:
            self._rang.set()
        return is_held


def _message(carried: Carried | None) -> messages.CarriedHeartbeat | None:
    if carried is None:
        return None
    return messages.CarriedHeartbeat(
        name=carried.name,
        metadata=dict(carried.metadata),
        generation=carried.generation,
        updated=carried.updated,
    )
