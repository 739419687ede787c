"""Files that survive a power cut: written, then flushed to the disk, with their folder."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from segrelay.errors import LimitReachedError, LocalDiskError
from segrelay.system.sharing_violation import retry_sharing_violation
from segrelay.system.system_limits import reached_limit

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_FULL = (
    "Check the disk of the agent's work folder, and the rights; it is retried automatically."
)


def write_durably(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file aside, flush it, and put it in place in one step.

    ``private``: this account alone may read it, and never for a moment another one.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _open_private(aside) if private else aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        retry_sharing_violation(lambda: aside.replace(path))
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)


def _open_private(path: Path) -> IO[bytes]:
    # One that a killed process left may have other rights.
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def sync_folder(folder: str | Path) -> None:
    """Make renames in a folder durable (POSIX); Windows cannot open a folder and needs no call."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Raise LocalDiskError, its message ``what`` and the reason, where the system refuses."""
    try:
        yield
    except OSError as error:
        raise disk_error(what, error) from error


def disk_error(what: str, error: OSError) -> LocalDiskError:
    """Return what the system refused, as an error with its remedy."""
    limit = reached_limit(error)
    if limit is not None:
        return LimitReachedError(limit.message, remedy=limit.remedy)
    remedy = None if is_full(error) else _NOT_FULL
    return LocalDiskError(f"{what} ({describe(error)}).", remedy=remedy)


def is_full(error: OSError) -> bool:
    """Return whether the disk, or the account's share of it, is full."""
    return error.errno in _FULL


def is_disk_failure(error: OSError) -> bool:
    """Return whether the disk refuses (full, read-only or breaking), or a limit stops it."""
    return (
        is_full(error)
        or error.errno in (errno.EIO, errno.EROFS)
        or reached_limit(error) is not None
    )


def describe(error: OSError) -> str:
    """Return what the system says, without names of files."""
    return error.strerror or type(error).__name__
