"""When waiting SEGs are delivered, and what one failure means for the others.

A round tries every SEG that is due, oldest first:

=======================================  ====================================================
a SEG is not delivered because …         what follows
=======================================  ====================================================
Orthanc refuses it for good              it is set aside; the round goes on
a lock, the local disk, a conflict, a    it alone waits; the round goes on
file of the job that the queue refuses
Orthanc or the queue is away             the round ends: each of the others would only meet
                                         the same time-out; all wait
Orthanc answers, but does not take it    the next one is tried. If that gets through, it was
                                         the SEG: it alone waits. Else it is Orthanc: the
                                         round ends and all wait
=======================================  ====================================================

Every round that ended so tries one SEG more than the last, so that none that can be
delivered stays behind many that cannot. What waits is tried again after a pause that doubles;
at once when a new SEG comes (those that wait alone not), or when operators ask.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

from lab_side.agent.delivery.deliver import Delivery, Uploader
from lab_side.agent.delivery.outbox import Outbox, OutboxEntry
from lab_side.agent.reporting.unexpected import unexpected
from lab_side.log import job_log_context, log_error
from segrelay import retry
from segrelay.errors import (
    FixConfigurationError,
    LocalDiskError,
    ObjectRefusedError,
    OrthancUnavailableError,
    PermanentError,
    SegRelayError,
    StoreUnavailableError,
)
from segrelay.manifest import utc_now
from segrelay.stages import Stage

logger = logging.getLogger("segrelay.rounds")


@dataclass(frozen=True)
class _Wait:
    """A pause after failed tries."""

    tries: int
    until: float
    """Of the monotonic clock."""


class DeliveryQueue:
    """Delivers what waits in the outbox; one thread runs the rounds, any may wake it.

    Parameters
    ----------
    is_orthanc_there:
        Ask Orthanc a plain question: whether it answers now.
    is_stopped:
        Whether the round must end.
    on_removed:
        Called with the job of every SEG that has left the outbox.
    on_delivered:
        Called with what became of every SEG that this process has brought to its end.
    on_fatal:
        Called with an error that operators must fix before anything can be delivered.
    """

    def __init__(
        self,
        outbox: Outbox,
        uploader: Uploader,
        *,
        is_orthanc_there: Callable[[], bool],
        is_stopped: Callable[[], bool],
        on_removed: Callable[[str], None],
        on_delivered: Callable[[Delivery], None],
        on_fatal: Callable[[SegRelayError], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._uploader = uploader
        self._is_orthanc_there = is_orthanc_there
        self._is_stopped = is_stopped
        self._on_removed = on_removed
        self._on_delivered = on_delivered
        self._on_fatal = on_fatal
        self._monotonic = monotonic
        self._woken = threading.Event()
        self._is_running = False
        self._pause: _Wait | None = None
        """Of every delivery."""
        self._own: dict[str, _Wait] = {}
        """Of SEGs that wait alone, by job; never changed in place: other threads read."""

    def wake(self) -> None:
        """Deliver now: something new waits."""
        self._woken.set()

    def wake_for(self, jobs: Collection[str]) -> None:
        """Another process may have put SEGs of these jobs into the outbox."""
        if set(jobs) - set(self._own) and self._pause is None:
            self._woken.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most for that long to be woken; return whether a round is due."""
        return self._woken.wait(seconds) or self._is_wait_over() or self._has_retry_request()

    def retry_now(self) -> None:
        """Forget every pause."""
        self._pause, self._own = None, {}

    @property
    def is_postponed(self) -> bool:
        """Whether something waits for another try."""
        return self._pause is not None or bool(self._own)

    @property
    def has_tried_all(self) -> bool:
        """Whether nothing waits, or only what could not be delivered just now."""
        if self._woken.is_set() or self._is_running:
            return False
        jobs = {entry.draft.job_id for entry in self._outbox.entries()}
        return self._pause is not None or jobs <= set(self._own)

    def run(self) -> None:
        """Deliver every entry that is due, once."""
        self._is_running = True
        self._woken.clear()
        self._outbox.take_retry_request()
        try:
            self._pause_all(self._try_all())
        except FixConfigurationError as error:
            self._on_fatal(error)
        except LocalDiskError as error:
            # The outbox itself cannot be listed: nothing is known to wait, and nothing is lost.
            self._pause = self._next_wait(self._pause)
            log_error(logger, logging.ERROR, "outbox not read", error)
        finally:
            self._is_running = False

    def _try_all(self) -> list[tuple[OutboxEntry, SegRelayError]]:
        """Deliver what is due; returns what ended the round, empty when nothing did."""
        held_up: list[tuple[OutboxEntry, SegRelayError]] = []
        patience = 1 if self._pause is None else 1 + self._pause.tries
        for entry in self._due_entries():
            if self._is_stopped():
                break
            error = self._try(entry)
            if error is None:
                self._postpone(held_up)
                held_up, self._pause = [], None
            elif _is_its_own(error):
                self._postpone([(entry, error)])
            else:
                held_up.append((entry, error))
                if len(held_up) > patience or not self._is_worth_going_on(error):
                    break
        return held_up

    def _due_entries(self) -> list[OutboxEntry]:
        entries = self._outbox.entries()
        jobs = {entry.draft.job_id for entry in entries}
        self._own = {job: wait for job, wait in self._own.items() if job in jobs}
        return [entry for entry in entries if self._is_over(self._own.get(entry.draft.job_id))]

    def _try(self, entry: OutboxEntry) -> SegRelayError | None:
        """Deliver one SEG; why it is still there, None when it is not."""
        with job_log_context(entry.draft.job_id, entry.attempt, Stage.UPLOAD):
            error = self._deliver(entry)
        if error is None:
            job = entry.draft.job_id
            self._own = {other: wait for other, wait in self._own.items() if other != job}
            self._on_removed(job)
        return error

    def _deliver(self, entry: OutboxEntry) -> SegRelayError | None:
        try:
            with entry.lock():
                self._on_delivered(self._uploader.deliver(entry))
        except FixConfigurationError as error:
            self._outbox.note_failure(entry, error, None)
            raise
        except PermanentError as error:
            log_error(logger, logging.ERROR, "SEG set aside", error)
        except SegRelayError as error:
            # Gone: another process was faster.
            if entry.folder.exists():
                return error
        except Exception as error:
            # This SEG waits for another try; the others go out.
            return unexpected(error)
        return None

    def _is_worth_going_on(self, error: SegRelayError) -> bool:
        return isinstance(error, OrthancUnavailableError) and self._is_orthanc_there()

    def _postpone(self, failed: list[tuple[OutboxEntry, SegRelayError]]) -> None:
        """Let each of these SEGs wait alone."""
        for entry, error in failed:
            job = entry.draft.job_id
            wait = self._next_wait(self._own.get(job))
            self._own = {**self._own, job: wait}
            self._note(entry, error, wait)

    def _pause_all(self, failed: list[tuple[OutboxEntry, SegRelayError]]) -> None:
        if not failed:
            return
        # A wake-up in the middle of a pause is a try more, and no reason to wait longer.
        if self._pause is None or self._is_over(self._pause):
            self._pause = self._next_wait(self._pause)
        for entry, error in failed:
            self._note(entry, error, self._pause)

    def _note(self, entry: OutboxEntry, error: SegRelayError, wait: _Wait) -> None:
        seconds = max(0.0, wait.until - self._monotonic())
        self._outbox.note_failure(entry, error, utc_now() + timedelta(seconds=seconds))
        with job_log_context(entry.draft.job_id, entry.attempt, Stage.UPLOAD):
            log_error(logger, logging.WARNING, "delivery postponed", error, seconds=round(seconds))

    def _next_wait(self, before: _Wait | None) -> _Wait:
        tries = 0 if before is None else before.tries
        return _Wait(tries + 1, self._monotonic() + retry.DELIVERY.pause(tries))

    def _is_over(self, wait: _Wait | None) -> bool:
        return wait is None or self._monotonic() >= wait.until

    def _is_wait_over(self) -> bool:
        if self._pause is not None:
            return self._is_over(self._pause)
        return any(self._is_over(wait) for wait in self._own.values())

    def _has_retry_request(self) -> bool:
        if not self.is_postponed or not self._outbox.take_retry_request():
            return False
        self.retry_now()
        return True


def _is_its_own(error: SegRelayError) -> bool:
    """Whether an error says nothing of how other SEGs would fare."""
    if isinstance(error, ObjectRefusedError):
        return True
    return not isinstance(error, (OrthancUnavailableError, StoreUnavailableError))
