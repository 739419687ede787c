"""Writing a SEG so that it survives a crash: whole or not at all."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from common.errors import LocalDiskError


@dataclass(frozen=True)
class StoredFile:
    """What was written."""

    sha256: str
    size_bytes: int


def write_dataset(dataset: Dataset, path: Path) -> StoredFile:
    """Write a DICOM file beside ``path``, fsync it, and rename it into place.

    Raises
    ------
    LocalDiskError
        The disk is full or refused the write; nothing is left behind under ``path``.
    """
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    data = buffer.getvalue()
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _fsync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LocalDiskError(
            f"The SEG cannot be written ({error.strerror or 'input/output error'})."
        ) from None
    return StoredFile(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def _fsync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows has no handle to a folder's entries; NTFS journals the rename.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
