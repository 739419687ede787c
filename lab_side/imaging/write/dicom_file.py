"""Writing a DICOM file so that it survives a crash: whole or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from segrelay.system.durable import disk_errors, write_durably


@dataclass(frozen=True)
class StoredFile:
    """Size and hash of a written file."""

    sha256: str
    size_bytes: int


@disable_value_validation()
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
    with disk_errors(f"{path.name} cannot be written"):
        write_durably(path, data)
    return StoredFile(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
