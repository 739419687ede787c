"""Any bytes as a value in a DICOM file, of any form, which no library would write."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from pydicom.datadict import dictionary_VR, tag_for_keyword

_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_META_END = 144
"""Preamble, ``DICM``, and the length of the File Meta Information (PS3.10 7.1)."""


def plant(path: Path, values: Mapping[str, bytes | tuple[str, bytes]]) -> None:
    """Give elements of a file (explicit or implicit, little endian) other bytes.

    Parameters
    ----------
    values:
        By keyword the new value, or the value representation and the value. An element that is
        absent is added in its place; pixel data stay where they are.
    """
    data = path.read_bytes()
    (length,) = struct.unpack_from("<L", data, _META_END - 4)
    start = _META_END + length
    is_implicit = data[start + 4 : start + 6] != b"UL" and not data[start + 4 : start + 6].isalpha()
    elements = dict(_elements(data, start, is_implicit=is_implicit))
    for keyword, given in values.items():
        tag = tag_for_keyword(keyword) or 0
        vr, value = given if isinstance(given, tuple) else (dictionary_VR(tag), given)
        elements[tag] = _element(tag, vr.encode(), value, is_implicit=is_implicit)
    path.write_bytes(data[:start] + b"".join(elements[tag] for tag in sorted(elements)))


def _elements(data: bytes, at: int, *, is_implicit: bool) -> list[tuple[int, bytes]]:
    found = []
    while at < len(data):
        group, element, vr, short = struct.unpack_from("<HH2sH", data, at)
        if is_implicit:
            head, length = 8, struct.unpack_from("<L", data, at + 4)[0]
        elif vr in _LONG:
            head, length = 12, struct.unpack_from("<L", data, at + 8)[0]
        else:
            head, length = 8, short
        end = at + head + length
        found.append((group << 16 | element, data[at:end]))
        at = end
    return found


def _element(tag: int, vr: bytes, value: bytes, *, is_implicit: bool) -> bytes:
    value += (b"\0" if vr in (b"UI", b"OB", b"UN") else b" ") * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if is_implicit:
        return head + struct.pack("<L", len(value)) + value
    if vr in _LONG:
        return head + vr + bytes(2) + struct.pack("<L", len(value)) + value
    return head + vr + struct.pack("<H", len(value)) + value
