"""How the voxels of an image lie in their cells (PS3.5 8.1.1, PS3.3 C.7.6.3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from segrelay.errors import SeriesRefusedError

PIXEL_ATTRIBUTES = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
)
"""What decoding looks at."""

FLOAT_PIXEL_ATTRIBUTES = ("FloatPixelData", "DoubleFloatPixelData")
"""In the place of Pixel Data (PS3.3 C.7.6.24, C.7.6.25)."""

# Looking a keyword up takes longer than the rest, and there are hundreds of slices.
_TAGS = {keyword: Tag(keyword) for keyword in (*PIXEL_ATTRIBUTES, *FLOAT_PIXEL_ATTRIBUTES)}

_ALLOCATED = (8, 16, 32)
_AS_INTEGERS = "Send the series as integers of 8, 16 or 32 bits a voxel."


def check_greyscale(image: Dataset) -> None:
    """Check that higher values are brighter (PS3.3 C.7.6.3.1.2).

    An inverted image is not turned round: a network would take dark fat for bright, and nothing
    says whether its values or only their display are inverted.

    Raises
    ------
    SeriesRefusedError
        ``inverted-greyscale``: MONOCHROME1. ``not-greyscale``
    """
    kind = image.get("PhotometricInterpretation")
    if image.get("SamplesPerPixel") == 1 and kind == "MONOCHROME1":
        raise SeriesRefusedError(
            "The images are inverted: low values are white (MONOCHROME1).",
            code="inverted-greyscale",
            remedy="Send the series as MONOCHROME2, as the scanner made it.",
        )
    if image.get("SamplesPerPixel") != 1 or kind != "MONOCHROME2":
        raise SeriesRefusedError(
            "The images are not plain greyscale (MONOCHROME2).", code="not-greyscale"
        )


@dataclass(frozen=True, kw_only=True)
class PixelForm:
    """The shape of an image, and where the bits of a voxel are in its cell."""

    frames: int
    rows: int
    columns: int
    allocated: int
    """Bits of a cell: 8, 16 or 32."""
    stored: int
    """Bits of a voxel, at most those of the cell."""
    high_bit: int
    """Place of a voxel's highest bit in its cell, from 0."""
    is_signed: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return self.frames, self.rows, self.columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the decoded voxels, little endian."""
        return np.dtype(f"<{'i' if self.is_signed else 'u'}{self.allocated // 8}")

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and the highest value that the stored bits can hold."""
        if self.is_signed:
            return -(1 << (self.stored - 1)), (1 << (self.stored - 1)) - 1
        return 0, (1 << self.stored) - 1


def read_pixel_form(dataset: Dataset) -> PixelForm:
    """Read the form of an image from its attributes.

    Number of Frames is 1 where missing, Bits Stored is Bits Allocated, High Bit is one less than
    Bits Stored, and Pixel Representation is 0 (unsigned).

    Raises
    ------
    SeriesRefusedError
        ``pixel-depth``: cells of another size than 8, 16 or 32 bits, or floating point;
        ``pixel-encoding``: an attribute is no whole number, or they contradict each other.
    """
    check_integers(dataset)
    allocated = _whole(dataset, "BitsAllocated")
    if allocated not in _ALLOCATED:
        raise SeriesRefusedError(
            f"The images have {allocated} bits a voxel (Bits Allocated), not 8, 16 or 32.",
            code="pixel-depth",
            remedy=_AS_INTEGERS,
        )
    stored = _whole(dataset, "BitsStored", allocated)
    high_bit = _whole(dataset, "HighBit", stored - 1)
    sign = _whole(dataset, "PixelRepresentation", 0)
    if not (1 <= stored <= high_bit + 1 <= allocated and sign in (0, 1)):
        raise SeriesRefusedError(
            f"Bits Allocated {allocated}, Bits Stored {stored}, High Bit {high_bit} and Pixel "
            f"Representation {sign} of the images contradict each other.",
            code="pixel-encoding",
        )
    return PixelForm(
        frames=_whole(dataset, "NumberOfFrames", 1) or 1,
        rows=_whole(dataset, "Rows"),
        columns=_whole(dataset, "Columns"),
        allocated=allocated,
        stored=stored,
        high_bit=high_bit,
        is_signed=sign == 1,
    )


def check_integers(dataset: Dataset) -> None:
    """Check that the voxels are integers; raises SeriesRefusedError, ``pixel-depth``."""
    if any(_TAGS[keyword] in dataset for keyword in FLOAT_PIXEL_ATTRIBUTES):
        raise SeriesRefusedError(
            "The voxels of the images are floating point numbers, which are not read.",
            code="pixel-depth",
            remedy=_AS_INTEGERS,
        )


def _whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    element = dataset.get(_TAGS[keyword])
    value = None if element is None else element.value
    if value is None or value == "":
        value = default
    try:
        # An integer string (IS) is one as well; a list of values is none.
        return int(value)
    except (TypeError, ValueError):
        raise SeriesRefusedError(
            f"{keyword} of an image is missing, or not one whole number.", code="pixel-encoding"
        ) from None
