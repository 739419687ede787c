"""Single frames of an enhanced instance: their pixel data with the tags of the instance.

An instance may hold all phases of a dynamic scan: a frame that is shown is fetched alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from gcp_side.labseg.dicom.pixels import (
    TAGS,
    SliceImage,
    images_of_dataset,
    settled,
    unreadable,
)
from segrelay.dicom.functional_groups import PER_FRAME, SHARED, frame_attributes
from segrelay.dicom.transfer_syntaxes import CODECS, EXPLICIT_LITTLE_ENDIAN, is_read

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"

_NATIVE = (IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN)
"""Orthanc gives a frame as it lies in the file: other orders of bytes are left to whole files."""

_OF_ALL_FRAMES = (
    *("NumberOfFrames", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData"),
    *(SHARED, PER_FRAME),
)
_KEYWORDS = tuple(keyword for keyword in TAGS if keyword not in _OF_ALL_FRAMES)
_INTEGER_BITS = ("8", "16")
"""Bits Allocated of what cannot be floating point (PS3.3 C.7.6.24)."""


class FrameReader:
    """What the frames of an instance are, without their pixel data.

    Parameters
    ----------
    tags:
        Of the instance by keyword, as Orthanc's simplified tags.
    syntax:
        UID of its transfer syntax; empty where it is unknown.
    """

    def __init__(self, tags: Mapping[str, Any], syntax: str) -> None:
        self._syntax = syntax
        self._common = {keyword: tags[keyword] for keyword in _KEYWORDS if tags.get(keyword)}
        self._frames = [
            {keyword: value for keyword, value in found.items() if keyword in _KEYWORDS}
            for found in frame_attributes(tags)
        ]
        self.count = len(self._frames)
        """Of the instance's frames."""
        is_integer = self._common.get("BitsAllocated") in _INTEGER_BITS
        is_known = syntax in _NATIVE or (syntax in CODECS and is_read(syntax))
        is_whole = str(self.count) == tags.get("NumberOfFrames")
        self.can_read = is_integer and is_known and is_whole
        """Whether a frame can be read alone; else the whole file is to be read."""

    def read(self, frame: int, data: bytes) -> SliceImage:
        """Decode a frame from 1; ``data`` is its pixel data, compressed as stored.

        Raises
        ------
        SeriesNotShownError
            As :func:`gcp_side.labseg.dicom.pixels.read_slices`.
        """
        (image,) = images_of_dataset(settled(lambda: self._dataset(frame, data)))
        return image

    def _dataset(self, frame: int, data: bytes) -> Dataset:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(self._syntax)
        for keyword, text in (self._common | self._frames[frame - 1]).items():
            if not isinstance(text, str):
                raise unreadable()
            _add(dataset, keyword, text, is_signed=self._common.get("PixelRepresentation") == "1")
        dataset.PixelData = encapsulate([data]) if self._syntax in CODECS else data
        dataset["PixelData"].VR = "OB" if self._syntax in CODECS else "OW"
        return dataset


def _add(dataset: Dataset, keyword: str, text: str, *, is_signed: bool) -> None:
    tag = tag_for_keyword(keyword)
    if tag is None:
        return
    vr = dictionary_VR(tag)
    if vr == "US or SS":
        vr = "SS" if is_signed else "US"
    values = text.split("\\")
    numbers = [int(value) for value in values] if vr in ("US", "SS") else values
    dataset.add_new(tag, vr, numbers if len(numbers) > 1 else numbers[0])
