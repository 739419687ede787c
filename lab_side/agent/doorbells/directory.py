"""Directory watcher: wakes the loop when the queue's directory changes; the scan is the truth.

Events get lost in bursts, and after a directory was removed and made again the watching
threads are dead while the observer says it is alive: so the threads themselves are
checked and the observer is made again. Network shares send no events of what other computers do:
there the observer compares listings instead.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
import threading
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from lab_side.log import log_event
from segrelay import names
from segrelay.system.system_limits import reached_limit

if sys.platform == "linux":
    from watchdog.observers.inotify import InotifyEmitter, InotifyObserver
    from watchdog.observers.inotify_c import InotifyConstants, Mask

    class ArrivalEmitter(InotifyEmitter):
        """Reports only what arrives in the folder.

        A file that leaves it (a claim) is held back for half a second by watchdog, in case it
        arrives somewhere else, and everything that arrives meanwhile with it.
        """

        def get_event_mask_from_filter(self) -> Mask:
            """The events of inotify(7) that an arrival makes."""
            return Mask(
                InotifyConstants.IN_CREATE
                | InotifyConstants.IN_MOVED_TO
                | InotifyConstants.IN_DELETE_SELF
            )

    class ArrivalObserver(InotifyObserver):
        """Observer whose emitters report arrivals only."""

        def __init__(self) -> None:
            super().__init__()
            self._emitter_class = ArrivalEmitter


POLLING_EVERY = 1.0
"""Seconds between two listings of a directory that sends no events."""

logger = logging.getLogger("segrelay.doorbell")


class DirectoryDoorbell(FileSystemEventHandler):
    """Sets ``rang`` when something appears in the pending folder.

    Parameters
    ----------
    root:
        The queue's directory.
    polling:
        Compare listings instead of asking the operating system for events.
    """

    def __init__(self, root: Path, rang: threading.Event, *, polling: bool = False) -> None:
        self._folder = root / names.PENDING
        self._rang = rang
        self._polling = polling
        self._observer: BaseObserver | None = None
        self._is_missed = False
        """Whether the log says that there are no events."""

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog in its own thread."""
        if event.event_type in ("created", "moved"):
            self._rang.set()

    def supervise(self) -> None:
        """Make sure that somebody listens; call it at every scan."""
        if self._observer is not None and all(
            emitter.is_alive() for emitter in self._observer.emitters
        ):
            return
        self.close()
        observer = new_observer(polling=self._polling)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            observer.schedule(self, str(self._folder))
            observer.start()
        except (OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and reached_limit(error) is None:
                raise
            with contextlib.suppress(OSError, RuntimeError):
                observer.unschedule_all()
            # Without a bell the loop polls: nothing is lost, it only takes longer.
            if not self._is_missed:
                log_event(logger, logging.WARNING, "directory events not received", why=_why(error))
            self._is_missed = True
            return
        self._observer, self._is_missed = observer, False

    def close(self) -> None:
        """Stop listening."""
        observer, self._observer = self._observer, None
        if observer is not None:
            with contextlib.suppress(RuntimeError):
                observer.stop()
                observer.join(timeout=5)


def _why(error: OSError | RuntimeError) -> str:
    """What the system refuses; its own words for a lack of watches speak of the disk."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOSPC:
        return "no inotify watch is left: raise fs.inotify.max_user_watches"
    if number == errno.EMFILE:
        return "no inotify instance or open file is left: raise fs.inotify.max_user_instances"
    limit = reached_limit(error)
    return str(error) if limit is None else limit.message


def new_observer(*, polling: bool) -> BaseObserver:
    """An observer that is not started: the operating system's own, or one that lists."""
    if polling:
        return PollingObserver(timeout=POLLING_EVERY)
    if sys.platform == "linux":
        return ArrivalObserver()
    return Observer()
