"""Repetition of a request to a store while it does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from segrelay.errors import ObjectRefusedError, StoreUnavailableError
from segrelay.retry import RetryPolicy

Answer = TypeVar("Answer")


class LaterError(StoreUnavailableError):
    """The store asks to come back later."""

    def __init__(self, message: str, pause: float) -> None:
        super().__init__(message)
        self.pause = pause
        """Seconds."""


def repeat(request: Callable[[], Answer], pauses: RetryPolicy) -> Answer:
    """Send a request until there is an answer or the deadline of ``pauses`` has passed.

    Raises
    ------
    StoreUnavailableError
        As the last try did; an ObjectRefusedError, which is an answer, at once.
    """
    until = time.monotonic() + pauses.deadline
    tries = 0
    while True:
        try:
            return request()
        except ObjectRefusedError:
            raise
        except StoreUnavailableError as error:
            pause = pauses.pause(tries)
            if isinstance(error, LaterError):
                pause = max(pause, error.pause)
            if time.monotonic() + pause > until:
                raise
        tries += 1
        time.sleep(pause)
