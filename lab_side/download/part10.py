"""Which instance a DICOM file is, from its first bytes; without a DICOM library.

The process that downloads must stay light, and a DICOM library brings numpy with it.
"""

from __future__ import annotations

from segrelay.dicom.elements import CutOffError, NotPlainError, file_meta, has_preamble

HEAD_BYTES = 4096
"""The File Meta Information is a few hundred bytes; a file's first bytes up to this suffice."""

_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003


def sop_instance_uid(head: bytes) -> str | None:
    """Media Storage SOP Instance UID (0002,0003) in a file's first bytes; None: not a DICOM file.

    ``head``: the first :data:`HEAD_BYTES` of the file, or all of a shorter one.
    """
    if not has_preamble(head):
        return None
    try:
        for tag, _, start, length in file_meta(head):
            if tag == _MEDIA_STORAGE_SOP_INSTANCE_UID:
                # Padded to an even length with a null (PS3.5 section 9.1).
                value = head[start : start + length].rstrip(b"\0 ")
                return value.decode("ascii", "replace")
    except (CutOffError, NotPlainError):
        pass
    return None
