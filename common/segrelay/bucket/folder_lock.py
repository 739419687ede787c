"""One lock for everybody who changes a directory, processes and threads alike: a locked file.

The system drops the lock when its holder dies. The file is opened again each time: threads
then exclude each other as processes do, and a forked child inherits no lock that lasts.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from filelock import lock_descriptor, unlock_descriptor

from segrelay.errors import StoreUnavailableError
from segrelay.system.private_files import share

LOCK_TIMEOUT = 30.0
"""Seconds to wait for the lock; held for milliseconds, so this means a hung share."""

LOCK_POLL = 0.002
"""Seconds between two tries for the lock; it is held for less than that, but for the flushes."""


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock of the file ``path``, which is made where it is missing; not twice at once.

    Raises
    ------
    StoreUnavailableError
        Others held it for :data:`LOCK_TIMEOUT`.
    OSError
        The file cannot be opened, or its file system has no locks.
    """
    handle = _take(path)
    try:
        yield
    finally:
        try:
            unlock_descriptor(handle)
        finally:
            os.close(handle)


def _take(path: str) -> int:
    limit = time.monotonic() + LOCK_TIMEOUT
    while True:
        handle = _try(path)
        if handle is not None:
            return handle
        if time.monotonic() > limit:
            raise StoreUnavailableError(
                f"The queue directory is locked for more than {LOCK_TIMEOUT:.0f} s.",
                remedy="Look for a hung process or share; it is retried automatically.",
            )
        time.sleep(LOCK_POLL)


def _try(path: str) -> int | None:
    """The open lock file, None while another holds it."""
    handle = _open(path)
    won = False
    try:
        # A file that was removed meanwhile guards nothing: others lock the one after it.
        won = lock_descriptor(handle, blocking=False) and os.fstat(handle).st_nlink > 0
    finally:
        if not won:
            os.close(handle)
    return handle if won else None


def _open(path: str) -> int:
    # Not at once with O_CREAT: in a shared folder it may be refused for another user's file.
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with contextlib.suppress(OSError):
            # Of another account that was faster: it has given the rights itself.
            share(handle)
        return handle
