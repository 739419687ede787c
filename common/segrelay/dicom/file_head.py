"""Which instance a DICOM file is, and how it is encoded, from its first bytes.

Without a DICOM library: the process that downloads must stay light, and one brings numpy with it.
"""

from __future__ import annotations

from typing import NamedTuple

from segrelay.dicom.elements import CutOffError, NotPlainError, file_meta, has_preamble

HEAD_BYTES = 4096
"""The File Meta Information is a few hundred bytes; a file's first bytes up to this suffice."""

_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
_TRANSFER_SYNTAX_UID = 0x00020010


class FileHead(NamedTuple):
    """What the File Meta Information names (PS3.10 7.1); None where it does not."""

    sop_instance_uid: str | None = None
    """Media Storage SOP Instance UID (0002,0003)."""
    transfer_syntax: str | None = None
    """Transfer Syntax UID (0002,0010)."""


def read_file_head(head: bytes) -> FileHead:
    """Read a file's first bytes; one that is no DICOM file names nothing.

    ``head``: the first :data:`HEAD_BYTES` of the file, or all of a shorter one.
    """
    found: dict[int, str] = {}
    if has_preamble(head):
        try:
            for tag, _, start, length in file_meta(head):
                if tag in (_MEDIA_STORAGE_SOP_INSTANCE_UID, _TRANSFER_SYNTAX_UID):
                    # Padded to an even length with a null (PS3.5 section 9.1).
                    value = head[start : start + length].rstrip(b"\0 ")
                    found[tag] = value.decode("ascii", "replace")
        except (CutOffError, NotPlainError):
            # What came before is known.
            pass
    return FileHead(found.get(_MEDIA_STORAGE_SOP_INSTANCE_UID), found.get(_TRANSFER_SYNTAX_UID))
