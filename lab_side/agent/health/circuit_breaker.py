"""A computer on which every job fails would empty the queue into the dead letters.

So after some different jobs in a row have failed here through no fault of their series or
manifests, the agent pauses, as if operators had ordered it: heartbeat, site and
``lab-agent status`` show why, and ``lab-agent resume`` ends it. Else it goes on automatically after
a while; the GPU must pass its self-test first. Until a job succeeds, one more failure is enough,
and the next pause is twice as long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from lab_side.agent.health.control import Pause
from lab_side.log import log_error
from segrelay import retry
from segrelay.errors import LocalDiskError, SegRelayError
from segrelay.manifest import utc_now
from segrelay.notices import notice

logger = logging.getLogger("segrelay.guard")


class CircuitBreaker:
    """Counts the jobs that fail in a row.

    Parameters
    ----------
    limit:
        So many different jobs; 0: never pause. One job alone may be the culprit, however often.
    pause:
        Gives the agent the order.
    """

    def __init__(self, limit: int, *, pause: Callable[[Pause], None]) -> None:
        self._limit = limit
        self._pause = pause
        self._failed: set[str] = set()
        self._trips = 0

    def succeeded(self) -> None:
        """A job has been worked on to its end."""
        self._failed, self._trips = set(), 0

    def failed(self, job_id: str, error: SegRelayError) -> None:
        """A job has failed, and it was the worker that failed it."""
        self._failed.add(job_id)
        if not self._limit or (len(self._failed) < self._limit and not self._trips):
            return
        now = utc_now()
        why = f"{len(self._failed)} different jobs in a row failed here, the last with {error.code}"
        pause = timedelta(seconds=retry.FAILURES_IN_A_ROW.pause(self._trips))
        until = (now + pause).astimezone()
        cause = notice(
            "jobs-fail",
            text=why,
            count=len(self._failed),
            code=error.code,
            until=until.isoformat(timespec="minutes"),
        )
        self._trips += 1
        try:
            self._pause(Pause(at=now, reason=why, cause=cause, until=until))
        except LocalDiskError as refused:
            log_error(logger, logging.ERROR, "pause not ordered", refused)
