"""Which instance a DICOM file is, from its first bytes; without a DICOM library.

The process that downloads must stay light, and a DICOM library brings numpy with it. The File
Meta Information is always Explicit VR Little Endian (DICOM PS3.10 section 7.1, PS3.5 section
7.1.2), so a few lines read it.
"""

from __future__ import annotations

import struct

HEAD_BYTES = 4096
"""The File Meta Information is a few hundred bytes; a file's first bytes up to this suffice."""

_PREAMBLE = 128
_MAGIC = b"DICM"
_META_GROUP = 0x0002
_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x0003
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT"})
"""Those with two reserved bytes and a length of four."""


def has_preamble(head: bytes) -> bool:
    """Whether a file that begins so is a DICOM file in the form of PS3.10 section 7.1."""
    return head[_PREAMBLE : _PREAMBLE + 4] == _MAGIC


def sop_instance_uid(head: bytes) -> str | None:
    """Media Storage SOP Instance UID (0002,0003) in a file's first bytes; None: not a DICOM file.

    ``head``: the first :data:`HEAD_BYTES` of the file, or all of a shorter one.
    """
    if not has_preamble(head):
        return None
    at = _PREAMBLE + 4
    while at + 8 <= len(head):
        group, element, vr, length = struct.unpack_from("<HH2sH", head, at)
        at += 8
        if group != _META_GROUP:
            return None
        if vr in _LONG_VRS:
            if at + 4 > len(head):
                return None
            (length,) = struct.unpack_from("<I", head, at)
            at += 4
        if element == _MEDIA_STORAGE_SOP_INSTANCE_UID:
            # Padded to an even length with a null (PS3.5 section 9.1).
            value = head[at : at + length].rstrip(b"\0 ")
            return value.decode("ascii", "replace") if at + length <= len(head) else None
        at += length
    return None
