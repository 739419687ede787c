"""Files that survive a power cut: written, then flushed to the disk, with their folder."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from common.errors import LocalDiskError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_FULL = "Check the disk of the agent's work folder, and the rights; it is retried by itself."


def write_durably(path: Path, data: bytes) -> None:
    """Write a file aside, flush it, and put it in place in one step."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
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
        remedy = None if is_full(error) else _NOT_FULL
        raise LocalDiskError(f"{what} ({describe(error)}).", remedy=remedy) from error


def is_full(error: OSError) -> bool:
    """Whether the disk, or the account's share of it, is full."""
    return error.errno in _FULL


def describe(error: OSError) -> str:
    """What the system says, without names of files."""
    return error.strerror or type(error).__name__
