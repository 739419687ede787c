"""A DICOM instance that means nothing: one black pixel of nobody, with UIDs of its own.

Written byte by byte: a DICOM library would bring numpy along. Explicit VR Little Endian
(DICOM PS3.5 section 7.1.2), Secondary Capture Image (PS3.3 section A.8.1).
"""

from __future__ import annotations

import hashlib
import struct

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_LONG_VRS = ("OB", "OW")


def _uid(what: str) -> str:
    """The same one for ever, under the root of UUIDs (PS3.5 annex B.2)."""
    digest = hashlib.sha256(f"segrelay doctor {what}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


SOP_INSTANCE_UID = _uid("instance")
"""Everywhere, so that a run never leaves more than one behind."""


def make_instance(pixel: int) -> bytes:
    """The file, 1 by 1 pixel; another ``pixel`` makes other bytes of the same UIDs."""
    meta = _element(2, 1, "OB", b"\0\1")
    meta += _element(2, 2, "UI", _SECONDARY_CAPTURE)
    meta += _element(2, 3, "UI", SOP_INSTANCE_UID)
    meta += _element(2, 0x10, "UI", _EXPLICIT_LITTLE_ENDIAN)
    meta += _element(2, 0x12, "UI", _uid("implementation"))
    body = b"".join(_element(*element) for element in _elements(pixel))
    return bytes(128) + b"DICM" + _element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + body


def _elements(pixel: int) -> list[tuple[int, int, str, str | bytes]]:
    """In the order of their tags."""
    one = struct.pack("<H", 1)
    return [
        (0x0008, 0x0016, "UI", _SECONDARY_CAPTURE),
        (0x0008, 0x0018, "UI", SOP_INSTANCE_UID),
        (0x0008, 0x0020, "DA", ""),
        (0x0008, 0x0030, "TM", ""),
        (0x0008, 0x0050, "SH", ""),
        (0x0008, 0x0060, "CS", "OT"),
        (0x0008, 0x0064, "CS", "SYN"),
        (0x0008, 0x0090, "PN", ""),
        (0x0008, 0x103E, "LO", "SegRelay doctor: may be deleted"),
        (0x0010, 0x0010, "PN", "SegRelay^Doctor"),
        (0x0010, 0x0020, "LO", "SEGRELAY-DOCTOR"),
        (0x0010, 0x0030, "DA", ""),
        (0x0010, 0x0040, "CS", ""),
        (0x0020, 0x000D, "UI", _uid("study")),
        (0x0020, 0x000E, "UI", _uid("series")),
        (0x0020, 0x0010, "SH", ""),
        (0x0020, 0x0011, "IS", ""),
        (0x0020, 0x0013, "IS", "1"),
        (0x0028, 0x0002, "US", one),
        (0x0028, 0x0004, "CS", "MONOCHROME2"),
        (0x0028, 0x0010, "US", one),
        (0x0028, 0x0011, "US", one),
        (0x0028, 0x0100, "US", struct.pack("<H", 8)),
        (0x0028, 0x0101, "US", struct.pack("<H", 8)),
        (0x0028, 0x0102, "US", struct.pack("<H", 7)),
        (0x0028, 0x0103, "US", bytes(2)),
        (0x7FE0, 0x0010, "OB", bytes([pixel, 0])),
    ]


def _element(group: int, element: int, vr: str, value: str | bytes) -> bytes:
    if isinstance(value, str):
        # To an even length: UIDs with a null, other text with a space (PS3.5 section 6.2).
        pad = b"\0" if vr == "UI" else b" "
        value = value.encode("ascii")
        value += pad * (len(value) % 2)
    head = struct.pack("<HH2s", group, element, vr.encode())
    if vr in _LONG_VRS:
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value
