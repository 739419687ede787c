"""Waits for jobs at the Redis that holds the queue: it publishes each arrival on a channel.

What is published while nobody listens is lost: so the agent scans after each connection.
"""

from __future__ import annotations

import threading

from lab_side.agent.doorbells.listening import ListeningDoorbell
from segrelay.bucket.redis import RedisBucket

LONGEST_WAIT = 25.0
"""Seconds before the connection is checked."""


class RedisDoorbell(ListeningDoorbell):
    """Sets ``rang`` when a job may have become pending.

    Parameters
    ----------
    bucket:
        The queue.
    rang:
        Wakes the agent's loop.
    """

    def __init__(self, bucket: RedisBucket, rang: threading.Event) -> None:
        super().__init__(rang)
        self._bucket = bucket

    def _listen(self) -> float:
        with self._bucket.arrivals() as arrivals:
            arrivals.begin()
            self._is_listening = True
            self._rang.set()
            while not self._stopped.is_set():
                if arrivals.wait(LONGEST_WAIT):
                    self._rang.set()
        return 0.0
