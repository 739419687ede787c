"""Images in a transfer syntax that is not read here, decoded by Orthanc.

Orthanc is asked for an archive of the one instance as Explicit VR Little Endian: that decodes, and
never compresses again. Every Orthanc since 1.7 understands it; an instance that it cannot decode
comes as it is stored. (``/instances/{id}/file?transcode=`` is newer: older ones ignore it.)

API: https://orthanc.uclouvain.be/book/faq/transcoding.html
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from typing import IO

from segrelay.dicom.file_head import HEAD_BYTES, FileHead, read_file_head
from segrelay.dicom.transfer_syntaxes import (
    CODECS,
    EXPLICIT_LITTLE_ENDIAN,
    is_read,
    syntax_name,
)
from segrelay.errors import (
    FixConfigurationError,
    OrthancNotFoundError,
    OrthancRefusedError,
    OrthancUnavailableError,
    SeriesRefusedError,
)
from segrelay.orthanc.client import OrthancClient
from segrelay.orthanc.failures import OrthancProblemError
from segrelay.orthanc.transport import FILE_LIMIT

_PIECE = 128 * 1024

_CANNOT = frozenset({2, 15, 23, 24})
""":data:`OrthancStatus` of what stays so: not implemented, a bad file, an image format or size."""

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
"""What zipfile raises on an archive that was cut or spoilt."""


def needs_transcoding(head: FileHead) -> bool:
    """Whether a file declares a transfer syntax that is not read on this computer."""
    return head.transfer_syntax is not None and not is_read(head.transfer_syntax)


def readable_file(client: OrthancClient, orthanc_id: str, data: bytes) -> bytes:
    """The file of an instance as it is, or decoded by Orthanc where its syntax is not read here.

    Raises as :func:`fetch_transcoded`.
    """
    head = read_file_head(data[:HEAD_BYTES])
    if not needs_transcoding(head):
        return data
    target = io.BytesIO()
    fetch_transcoded(client, orthanc_id, head, target, buffer=io.BytesIO(), check=lambda: None)
    return target.getvalue()


def fetch_transcoded(
    client: OrthancClient,
    orthanc_id: str,
    stored: FileHead,
    target: IO[bytes],
    *,
    buffer: IO[bytes],
    check: Callable[[], None],
) -> None:
    """Write an instance to ``target``, decoded by Orthanc.

    Parameters
    ----------
    stored:
        The head of its file as Orthanc has it.
    buffer:
        Holds the archive; empty.
    check:
        Called between two pieces; raises where the download shall end.

    Raises
    ------
    SeriesRefusedError
        ``compressed-unreadable``: Orthanc cannot decode it, or makes another instance of it.
    OrthancUnavailableError
        The archive broke off, or holds something else than the instance.
    """
    _receive(client, orthanc_id, stored, buffer, check)
    try:
        with zipfile.ZipFile(buffer) as archive:
            (member,) = archive.infolist()
            if member.file_size > FILE_LIMIT:
                raise _refused(stored, "the decoded file is too large")
            with archive.open(member) as source:
                head = source.read(HEAD_BYTES)
                _check(read_file_head(head), stored)
                target.write(head)
                # Read to its end, which checks the checksum.
                while piece := source.read(_PIECE):
                    check()
                    target.write(piece)
    except (*_BROKEN, ValueError) as error:
        raise OrthancUnavailableError(
            f"An archive of Orthanc's is broken ({type(error).__name__})."
        ) from None


def _receive(
    client: OrthancClient,
    orthanc_id: str,
    stored: FileHead,
    buffer: IO[bytes],
    check: Callable[[], None],
) -> None:
    try:
        with client.archive([orthanc_id], transcode=EXPLICIT_LITTLE_ENDIAN) as pieces:
            for piece in pieces:
                check()
                buffer.write(piece)
    except OrthancNotFoundError:
        raise
    except (OrthancRefusedError, FixConfigurationError):
        # Its file came just now, so it is this request that is not taken.
        raise _refused(stored, "Orthanc refuses to decode it") from None
    except OrthancProblemError as error:
        if error.orthanc_status in _CANNOT:
            raise _refused(stored, "Orthanc cannot decode it") from None
        raise


def _check(found: FileHead, stored: FileHead) -> None:
    if found.transfer_syntax == stored.transfer_syntax:
        raise _refused(stored, "Orthanc cannot decode it")
    if found.transfer_syntax != EXPLICIT_LITTLE_ENDIAN:
        raise OrthancUnavailableError("Orthanc decoded an instance into another form.")
    if found.sop_instance_uid != stored.sop_instance_uid:
        raise _refused(stored, "Orthanc decodes it as another instance (SOP Instance UID)")


def _refused(stored: FileHead, why: str) -> SeriesRefusedError:
    syntax = stored.transfer_syntax or ""
    error = SeriesRefusedError(
        f"The pixel data is compressed as {syntax_name(syntax)}, which is not read here, and "
        f"{why}.",
        code="compressed-unreadable",
        remedy="Install Orthanc's GDCM plugin (orthanc-gdcm), or send the series to Orthanc "
        "uncompressed (Explicit VR Little Endian).",
    )
    if syntax in CODECS:
        error.remedy = f"Install the package imagecodecs on this computer. Or else: {error.remedy}"
    return error
