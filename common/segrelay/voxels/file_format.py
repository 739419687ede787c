"""Any DICOM file as one with a preamble, a transfer syntax and a dataset that is not deflated.

PS3.10 section 7.1: 128 bytes, ``DICM``, File Meta Information in Explicit VR Little Endian, then
the dataset. Old archives leave out the first two, or all three.
"""

from __future__ import annotations

import struct

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from segrelay.errors import SeriesRefusedError
from segrelay.voxels.bounds import inflate

_PREAMBLE = bytes(128)
_MAGIC = b"DICM"
_LONG = frozenset(vr.value.encode() for vr in EXPLICIT_VR_LENGTH_32)
_VRS = frozenset(vr.value.encode() for vr in VR if len(vr.value) == 2)
_TRANSFER_SYNTAX = 0x0010
_UNDEFINED = 0xFFFFFFFF


def plain_file(data: bytes) -> bytes:
    """The same dataset behind a preamble and File Meta Information of its transfer syntax alone.

    A deflated dataset is inflated, within the limits of :mod:`segrelay.voxels.bounds`, and becomes
    Explicit VR Little Endian. Where no transfer syntax is declared, the first element shows it.

    Parameters
    ----------
    data:
        All bytes of the file, with or without a preamble, with or without meta information.

    Raises
    ------
    SeriesRefusedError
        ``unreadable-instance``: it is no DICOM file, or a damaged one; ``image-too-large``.
    """
    syntax, start = _meta_information(data, _first_element(data))
    if syntax == DeflatedExplicitVRLittleEndian:
        return _head(ExplicitVRLittleEndian) + inflate(data[start:])
    return _head(syntax or _shown_by(data, start)) + data[start:]


def damaged_file() -> SeriesRefusedError:
    """The error for a file that cannot be read as what it says it is."""
    return SeriesRefusedError(
        "A file of the series is not a readable DICOM instance.",
        code="unreadable-instance",
        remedy="Send the series to Orthanc again; the stored copy is damaged.",
    )


def _first_element(data: bytes) -> int:
    for preamble in (len(_PREAMBLE), 0):
        if data[preamble : preamble + 4] == _MAGIC:
            return preamble + 4
    return 0


def _meta_information(data: bytes, at: int) -> tuple[str, int]:
    """The declared transfer syntax, empty where none is, and where the dataset begins."""
    syntax = ""
    while data[at : at + 2] == b"\x02\x00":
        if at + 12 > len(data):
            raise damaged_file()
        _, element, vr, length = struct.unpack_from("<HH2sH", data, at)
        at += 8
        if vr in _LONG:
            (length,) = struct.unpack_from("<L", data, at)
            at += 4
        if vr not in _VRS or length == _UNDEFINED or at + length > len(data):
            raise damaged_file()
        if element == _TRANSFER_SYNTAX:
            syntax = data[at : at + length].rstrip(b"\0 ").decode("ascii", "replace")
        at += length
    return syntax, at


def _shown_by(data: bytes, at: int) -> UID:
    """The transfer syntax in which the first element of a dataset makes sense.

    A dataset begins with group 0008: every image has a SOP Class UID (PS3.3 C.12.1).
    """
    group, vr = data[at : at + 2], data[at + 4 : at + 6]
    if group == b"\x08\x00" and vr in _VRS:
        return ExplicitVRLittleEndian
    if group == b"\x00\x08" and vr in _VRS:
        return ExplicitVRBigEndian
    if group == b"\x08\x00" and len(data) >= at + 8:
        (length,) = struct.unpack_from("<L", data, at + 4)
        if length <= len(data) - at - 8:
            return ImplicitVRLittleEndian
    raise damaged_file()


def _head(syntax: str) -> bytes:
    value = syntax.encode("ascii", "replace")
    value += b"\0" * (len(value) % 2)
    element = struct.pack("<HH2sH", 0x0002, _TRANSFER_SYNTAX, b"UI", len(value)) + value
    length = struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(element))
    return _PREAMBLE + _MAGIC + length + element
