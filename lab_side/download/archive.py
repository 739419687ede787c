"""Several instances in one compressed answer of Orthanc, each recognised by its own UID.

An archive has no Content-Length: a cut is silent, and the names inside are the server's (and
hold the patient's). So nothing is believed but the bytes: a member counts when it names an
instance that was asked for in its File Meta Information, has that instance's size and passes
the archive's checksum. What is missing afterwards is the caller's to fetch.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from segrelay.dicom.file_head import HEAD_BYTES, read_file_head
from segrelay.errors import OrthancUnavailableError
from segrelay.orthanc.answers import InstanceInfo
from segrelay.orthanc.client import OrthancClient

BUFFER_BYTES = 8 * 1024 * 1024
"""Archives of files up to this size stay in memory; larger ones go through a file."""

LEAST_OVERHEAD = 1024 * 1024
"""Bytes that an archive may be larger than what is in it: headers and names."""

_PIECE = 64 * 1024

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
"""What zipfile raises on an archive that was cut or spoilt."""


def fetch_archive(
    client: OrthancClient,
    items: Sequence[InstanceInfo],
    folder: Path,
    keep: Callable[[InstanceInfo, Path], None],
    check: Callable[[], None],
) -> None:
    """Fetch ``items`` as one archive; ``keep`` is handed each whole instance, a file in ``folder``.

    ``check`` is called between two pieces and raises where the download shall end.

    Raises
    ------
    OrthancUnavailableError
        The archive broke off, or a member is spoilt; what came before was kept.
    OSError
        The disk refused a write.
    """
    with _buffer(sum(item.size_bytes for item in items), folder) as buffer:
        _receive(client, items, buffer, check)
        for item, path in _unpack(buffer, items, folder):
            keep(item, path)
            check()


def _buffer(size: int, folder: Path) -> IO[bytes]:
    return io.BytesIO() if size <= BUFFER_BYTES else tempfile.TemporaryFile(dir=folder)


def _receive(
    client: OrthancClient,
    items: Sequence[InstanceInfo],
    buffer: IO[bytes],
    check: Callable[[], None],
) -> None:
    room = LEAST_OVERHEAD + sum(item.size_bytes for item in items) * 11 // 10
    with client.archive([item.orthanc_id for item in items]) as pieces:
        for piece in pieces:
            check()
            room -= buffer.write(piece)
            if room < 0:
                raise OrthancUnavailableError("An archive is larger than what was asked for.")


def _unpack(
    buffer: IO[bytes], items: Sequence[InstanceInfo], folder: Path
) -> Iterator[tuple[InstanceInfo, Path]]:
    wanted = {item.sop_instance_uid: item for item in items}
    sizes = {item.size_bytes for item in items}
    path = folder / f"{items[0].orthanc_id}.unpacked"
    try:
        with zipfile.ZipFile(buffer) as archive:
            for member in archive.infolist():
                if member.file_size not in sizes:
                    continue
                with archive.open(member) as source, path.open("wb") as target:
                    uid = _copy(source, target)
                item = wanted.pop(uid or "", None)
                if item is not None and item.size_bytes == member.file_size:
                    yield item, path
    except _BROKEN as error:
        raise OrthancUnavailableError(
            f"An archive of Orthanc's is broken ({type(error).__name__})."
        ) from None
    finally:
        path.unlink(missing_ok=True)


def _copy(source: IO[bytes], target: IO[bytes]) -> str | None:
    """Copy to the end, which checks the checksum; returns which instance it is."""
    head = source.read(HEAD_BYTES)
    target.write(head)
    while piece := source.read(_PIECE):
        target.write(piece)
    return read_file_head(head).sop_instance_uid
