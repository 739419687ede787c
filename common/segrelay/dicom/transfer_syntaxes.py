"""Transfer syntaxes: the names of PS3.6 table A-1, and those that are read on this computer.

No DICOM library is used: the agent asks before an image is opened.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Mapping
from enum import StrEnum

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

NATIVE = frozenset(
    {
        "1.2.840.10008.1.2",
        EXPLICIT_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
    }
)
"""Pixel Data is not compressed: implicit, explicit, deflated as a whole, big endian."""


class Codec(StrEnum):
    """A way of compressing frames, with one decoder for its transfer syntaxes."""

    JPEG = "jpeg"
    JPEG_LS = "jpeg-ls"
    JPEG_2000 = "jpeg-2000"
    """High-throughput JPEG 2000 as well."""
    RLE = "rle"


CODECS: Mapping[str, Codec] = {
    "1.2.840.10008.1.2.4.50": Codec.JPEG,
    "1.2.840.10008.1.2.4.51": Codec.JPEG,
    "1.2.840.10008.1.2.4.57": Codec.JPEG,
    "1.2.840.10008.1.2.4.70": Codec.JPEG,
    "1.2.840.10008.1.2.4.80": Codec.JPEG_LS,
    "1.2.840.10008.1.2.4.81": Codec.JPEG_LS,
    "1.2.840.10008.1.2.4.90": Codec.JPEG_2000,
    "1.2.840.10008.1.2.4.91": Codec.JPEG_2000,
    "1.2.840.10008.1.2.4.201": Codec.JPEG_2000,
    "1.2.840.10008.1.2.4.202": Codec.JPEG_2000,
    "1.2.840.10008.1.2.4.203": Codec.JPEG_2000,
    "1.2.840.10008.1.2.5": Codec.RLE,
}
"""Transfer syntaxes of compressed frames that are decoded here."""

_NAMES: Mapping[str, str] = {
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended, Process 2 and 4",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless, Process 14",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless, Process 14, Selection Value 1",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 Lossless, RPCL",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.5": "RLE Lossless",
    "1.2.840.10008.1.2.1.98": "Encapsulated Uncompressed Explicit VR Little Endian",
    "1.2.840.10008.1.2.4.52": "JPEG Extended, Process 3 and 5",
    "1.2.840.10008.1.2.4.53": "JPEG Spectral Selection, Process 6 and 8",
    "1.2.840.10008.1.2.4.54": "JPEG Spectral Selection, Process 7 and 9",
    "1.2.840.10008.1.2.4.55": "JPEG Full Progression, Process 10 and 12",
    "1.2.840.10008.1.2.4.56": "JPEG Full Progression, Process 11 and 13",
    "1.2.840.10008.1.2.4.58": "JPEG Lossless, Process 15",
    "1.2.840.10008.1.2.4.92": "JPEG 2000 Part 2 Multi-component, Lossless",
    "1.2.840.10008.1.2.4.93": "JPEG 2000 Part 2 Multi-component",
    "1.2.840.10008.1.2.4.94": "JPIP Referenced",
    "1.2.840.10008.1.2.4.95": "JPIP Referenced Deflate",
    "1.2.840.10008.1.2.4.100": "MPEG2 Main Profile, Main Level",
    "1.2.840.10008.1.2.4.101": "MPEG2 Main Profile, High Level",
    "1.2.840.10008.1.2.4.102": "MPEG-4 AVC/H.264 High Profile",
    "1.2.840.10008.1.2.4.103": "MPEG-4 AVC/H.264 BD-compatible High Profile",
    "1.2.840.10008.1.2.4.104": "MPEG-4 AVC/H.264 High Profile, 2D Video",
    "1.2.840.10008.1.2.4.105": "MPEG-4 AVC/H.264 High Profile, 3D Video",
    "1.2.840.10008.1.2.4.106": "MPEG-4 AVC/H.264 Stereo High Profile",
    "1.2.840.10008.1.2.4.107": "HEVC/H.265 Main Profile",
    "1.2.840.10008.1.2.4.108": "HEVC/H.265 Main 10 Profile",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.204": "JPIP HTJ2K Referenced",
    "1.2.840.10008.1.2.4.205": "JPIP HTJ2K Referenced Deflate",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}
_UID = re.compile(r"[0-9.]{1,64}")


def is_read(syntax: str) -> bool:
    """Whether images of a transfer syntax are decoded on this computer."""
    return syntax in NATIVE or (syntax in CODECS and has_codecs())


@functools.cache
def has_codecs() -> bool:
    """Whether the library of codecs is installed; it is not imported."""
    return importlib.util.find_spec("imagecodecs") is not None


def syntax_name(syntax: str) -> str:
    """The name of a compressed transfer syntax, for an error: its UID where it is not known."""
    # The UIDs of fragmentable video are those of the same video with another component.
    name = _NAMES.get(syntax) or _NAMES.get(syntax.removesuffix(".1"))
    if name is not None:
        return name
    # The text is a file's, and an error's text may hold nothing of a patient.
    return f"transfer syntax {syntax}" if _UID.fullmatch(syntax) else "an unknown transfer syntax"
