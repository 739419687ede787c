"""A SEG that Orthanc does not take, as a file for operators."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from lab_side.agent.delivery.outbox import OutboxEntry, read_seg
from segrelay.errors import LocalDiskError, PermanentError
from segrelay.system.durable import describe, sync_folder
from segrelay.system.sharing_violation import retry_sharing_violation


class SegGoneError(PermanentError):
    """The SEG was delivered a moment ago."""

    code = "seg-gone"
    remedy = "Nothing: its job has its result. lab-agent status shows what is left."


def export_seg(entry: OutboxEntry, directory: Path) -> Path:
    """Copy a SEG to ``<directory>/<job>.dcm``; the entry stays as it is.

    No lock is taken: nothing here changes what the agent works with, and a SEG that it
    delivers meanwhile is either still read whole or found gone. A file that is there already
    is never written over; if it is this very SEG, nothing is left to do.

    Raises
    ------
    SegGoneError
        It was delivered a moment ago.
    PermanentError
        ``seg-damaged``; ``export-exists``: another file has this name.
    LocalDiskError
        The disk refused; nothing is left behind.
    """
    try:
        data = read_seg(entry)
    except PermanentError:
        if entry.folder.exists():
            raise
        raise SegGoneError("The SEG has just left the outbox.") from None
    target = directory / f"{entry.draft.job_id}.dcm"
    with _refusals(directory):
        directory.mkdir(parents=True, exist_ok=True)
        if not _is_there(target, entry.draft.sha256):
            _write(data, target, entry.draft.sha256)
    return target


def _write(data: bytes, target: Path, sha256: str) -> None:
    """Write aside, flush, read back, compare, and give it its name."""
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if _sha256(part) != sha256:
            raise LocalDiskError(
                "The copy reads back as other bytes.",
                remedy="The disk that it was written to is damaged: give another directory.",
            )
        if not _is_there(target, sha256):
            retry_sharing_violation(lambda: part.rename(target))
    finally:
        part.unlink(missing_ok=True)
    sync_folder(target.parent)


def _is_there(target: Path, sha256: str) -> bool:
    if not target.exists():
        return False
    if _sha256(target) != sha256:
        raise PermanentError(
            f"There is another file at {target}.",
            code="export-exists",
            remedy="Give another directory: nothing is written over.",
        )
    return True


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def _refusals(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalDiskError(
            f"{directory} does not take the SEG ({describe(error)}).",
            remedy=f"Free space on the disk of {directory}, or give another directory.",
        ) from error
