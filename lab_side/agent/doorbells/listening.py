"""What doorbells that wait in a thread of their own share."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod

from lab_side.log import log_error
from segrelay.errors import SegRelayError
from segrelay.retry import RetryPolicy

FAILED = RetryPolicy(first=1, longest=60, jitter=0.2)
"""After a wait that failed: the scan says what is wrong."""

logger = logging.getLogger("segrelay.doorbell")


class ListeningDoorbell(ABC):
    """Sets ``rang`` when a job may have become pending.

    Parameters
    ----------
    rang:
        Wakes the agent's loop.
    """

    def __init__(self, rang: threading.Event) -> None:
        self._rang = rang
        self._stopped = threading.Event()
        self._is_listening = False
        self._thread: threading.Thread | None = None

    @property
    def is_listening(self) -> bool:
        """Whether an arrival wakes the agent now."""
        return self._is_listening

    def supervise(self) -> None:
        """Start the thread that waits, if it does not run."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait no further; the call that is open ends with the process."""
        self._stopped.set()

    @abstractmethod
    def _listen(self) -> float:
        """Wait for arrivals; returns the seconds before it is called again.

        Raises
        ------
        SegRelayError
            The store does not answer, or does not let this agent wait.
        """

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                pause = self._listen()
            except SegRelayError as error:
                if not failures or self._is_listening:
                    log_error(logger, logging.WARNING, "waiting for jobs failed", error)
                    failures = 0
                self._is_listening = False
                pause = FAILED.pause(failures)
                failures += 1
            else:
                failures = 0
            self._stopped.wait(pause)
