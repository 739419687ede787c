"""The thread that proves life and publishes progress; it stops last."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.log import log_error, log_event
from segrelay import names, retry
from segrelay.bucket import Bucket
from segrelay.bucket.site_messages import LONGEST_WAIT
from segrelay.errors import (
    FixConfigurationError,
    LeaseLostError,
    ObjectRefusedError,
    SegRelayError,
    StoreUnavailableError,
)
from segrelay.queue import Heartbeat as Beat
from segrelay.queue import HeartbeatJob, Lease
from segrelay.queue.lease import HEARTBEAT_EVERY, Carried

PROGRESS_EVERY = 1.0
"""Seconds between two writings of progress; only what changed is written."""

CARRIED_EVERY = LONGEST_WAIT + HEARTBEAT_EVERY
"""Seconds without news of a heartbeat until one is sent, where waiting calls carry them: a call is
answered after up to LONGEST_WAIT, with the time of its beginning."""

LONGEST_TURN = 120.0
"""Seconds; one heartbeat and one progress that both hang to their end take less."""

_NOT_NOW = (StoreUnavailableError, FixConfigurationError)
"""A store that refuses for longer than the patience ends the agent's loop, not this thread."""

logger = logging.getLogger("segrelay.heartbeat")


class Heartbeat:
    """Sends heartbeats every 30 s, at once when asked, and until :meth:`stop`."""

    def __init__(
        self, bucket: Bucket, lease: Lease, status: StatusBoard, *, on_lost: Callable[[], None]
    ) -> None:
        self._bucket = bucket
        self._lease = lease
        self._status = status
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._sent = status.agent
        """What the last heartbeat said of the agent itself."""
        self._is_urgent = False
        self._is_carried = False
        """Whether the last call that waited for jobs has renewed the heartbeat."""
        self._turned_at = time.monotonic()
        self._published: dict[str, HeartbeatJob] = {}
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def take_over(self) -> Beat | None:
        """Take the agent id, start the heartbeats; returns the last one of the id's previous life.

        Raises
        ------
        LeaseLostError
            ``agent-id-in-use``
        """
        previous = self._lease.take(self._status.heartbeat())
        self.start()
        return previous

    def start(self) -> None:
        """Start the heartbeats; the lease must have been taken."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def is_well(self) -> bool:
        """Whether it goes on: each heartbeat succeeds, or fails and is known to have failed.

        A network that is down is no reason to restart the agent; a thread that hangs is.
        """
        return self.is_alive() and time.monotonic() - self._turned_at < LONGEST_TURN

    def stop(self) -> None:
        """Say goodbye: a stopped agent's claims are taken over without waiting."""
        self._stop.set()
        self._thread.join()
        if self._lease.is_held():
            try:
                self._lease.renew(self._status.final_heartbeat())
            except (*_NOT_NOW, LeaseLostError) as error:
                log_event(logger, logging.WARNING, "last heartbeat failed", code=error.code)

    def send_soon_if_new(self) -> None:
        """Send a heartbeat within seconds if the state has changed: operators wait for it."""
        self._is_urgent = self._sent != self._status.agent

    def carried(self) -> Carried | None:
        """A heartbeat for a call that waits for jobs to carry; None while a job is in hand."""
        if self._stop.is_set() or self._status.jobs():
            return None
        return self._lease.carried(self._status.heartbeat())

    def note_carried(
        self, carried: Carried, updated: datetime | None, held: timedelta = timedelta(0)
    ) -> None:
        """Note when the site has renewed it, and how long before its answer; None: it has not."""
        self._lease.note_carried(carried, updated, held)
        self._is_carried = updated is not None

    def heartbeat_now(self) -> None:
        """Send a heartbeat in the caller's thread: the store then knows the status.

        Raises
        ------
        StoreUnavailableError, LeaseLostError
        """
        sent = self._status.agent
        try:
            self._lease.renew(self._status.heartbeat())
        except LeaseLostError:
            self._on_lost()
            raise
        # It was needed: the next one as well, until a call has renewed it.
        self._is_carried = False
        if sent == self._status.agent:
            self._sent, self._is_urgent = sent, False

    def _run(self) -> None:
        heartbeat_due = progress_due = 0.0
        while not self._stop.wait(PROGRESS_EVERY):
            self._turned_at = time.monotonic()
            # Each for itself: progress that does not get through must not cost a heartbeat.
            try:
                if time.monotonic() >= heartbeat_due and self._is_due():
                    self.heartbeat_now()
            except LeaseLostError:
                return
            except _NOT_NOW as error:
                heartbeat_due = _retry_at("heartbeat failed", error)
            try:
                if time.monotonic() >= progress_due:
                    self._publish_progress()
            except _NOT_NOW as error:
                progress_due = _retry_at("progress not published", error)

    def _is_due(self) -> bool:
        age = self._lease.age()
        # With a job in hand there is something to lose.
        is_carried = self._is_carried and not self._status.jobs()
        every = CARRIED_EVERY if is_carried else HEARTBEAT_EVERY
        # A cloud store takes one change a second of an object.
        return age >= every or (self._is_urgent and age >= PROGRESS_EVERY)

    def _publish_progress(self) -> None:
        jobs = self._status.jobs()
        for job_id, job in jobs.items():
            if self._published.get(job_id) == job:
                continue
            # Of one job alone, and only for the page: the others go on.
            with contextlib.suppress(ObjectRefusedError):
                self._bucket.replace(names.progress_object(job_id), job.model_dump_json().encode())
        self._published = jobs


def _retry_at(what: str, error: SegRelayError) -> float:
    """Log a failure; when to try again, by the monotonic clock."""
    log_error(logger, logging.WARNING, what, error)
    return time.monotonic() + retry.HEARTBEAT.pause()
