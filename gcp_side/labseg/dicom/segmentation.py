"""Reading a DICOM SEG: its frames, where they lie and what they were made from.

PS3.3 A.51 (Segmentation IOD), C.8.20.2 (Segmentation Image), C.7.6.16 (functional groups).
Frames may come in any order, empty ones may be absent, several segments may share a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from gcp_side.labseg.dicom.colour import srgb_of_cielab
from gcp_side.labseg.dicom.masks import PackedMask, read_masks, too_large
from gcp_side.labseg.dicom.sequence_reader import (
    Item,
    decimals,
    identifier,
    integers,
    items_of,
    unsigned_short,
)
from gcp_side.labseg.errors import SegmentationUnreadableError
from segrelay.errors import SeriesRefusedError
from segrelay.voxels.file_format import plain_file
from segrelay.voxels.pixel_form import PIXEL_ATTRIBUTES

MOST_ITEMS = 100_000
"""Items of sequences in a file, at all depths: ten for each of 10,000 frames. pydicom makes some
kilobytes of the eight bytes of an empty one."""

MOST_SEGMENTS = 1000
"""pydicom takes a quarter of a millisecond for each; the page can draw 255."""

_ITEM = b"\xfe\xff\x00\xe0"
"""Tag of an item, little-endian (PS3.5 7.5)."""

_TAGS: list[Any] = [
    *PIXEL_ATTRIBUTES,
    "SOPClassUID",
    "PatientID",
    "StudyInstanceUID",
    "SegmentationType",
    "MaximumFractionalValue",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "SegmentSequence",
    "ReferencedSeriesSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
"""Nothing else is kept in memory."""

_GROUP = {
    "SegmentIdentificationSequence": {"ReferencedSegmentNumber": unsigned_short},
    "PlanePositionSequence": {"ImagePositionPatient": decimals},
    "PlaneOrientationSequence": {"ImageOrientationPatient": decimals},
    "DerivationImageSequence": {
        "SourceImageSequence": {
            "ReferencedSOPInstanceUID": identifier,
            "ReferencedFrameNumber": integers,
        },
    },
}
"""What is read of a frame's functional groups."""

_REFERENCED_SERIES = {
    "SeriesInstanceUID": identifier,
    "ReferencedInstanceSequence": {"ReferencedSOPInstanceUID": identifier},
}


@dataclass(frozen=True, eq=False)
class SegFrame:
    """One frame: a mask of one segment on one plane."""

    segment: int
    """Segment Number."""
    sources: tuple[tuple[str, int | None], ...]
    """What it was made from: SOP Instance UID, and which frame of it, from 1; may be empty."""
    position: tuple[float, ...] | None
    """Image Position (Patient), LPS millimetres."""
    orientation: tuple[float, ...] | None
    """Image Orientation (Patient): direction of a row, then of a column."""
    packed: PackedMask

    @property
    def mask(self) -> NDArray[np.bool_]:
        """[rows, columns]; spread out at each call."""
        return self.packed.spread()


@dataclass(frozen=True)
class SegSegment:
    """One segment of a SEG."""

    number: int
    label: str
    colour: tuple[int, int, int] | None
    """sRGB, 0..255; None where the SEG recommends none."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A SEG instance."""

    patient_id: str = field(repr=False)
    """Only for Orthanc's ids; never shown."""
    study_uid: str
    referenced_series: dict[str, frozenset[str]]
    """Series Instance UID to the SOP Instance UIDs named under it (C.12.1.1.1)."""
    rows: int
    columns: int
    segments: tuple[SegSegment, ...]
    """By rising number; also those without a frame."""
    frames: tuple[SegFrame, ...]


def read_segmentation(data: bytes) -> Segmentation:
    """Read a SEG file of type BINARY or FRACTIONAL.

    FRACTIONAL frames become masks of the voxels with at least half of the maximum.

    Raises
    ------
    SegmentationUnreadableError
        ``not-dicom``, ``not-a-segmentation``, ``segmentation-type``,
        ``segmentation-too-large`` or ``segmentation-broken``.
    """
    try:
        # Values of a wrong form are checked where they matter; warnings would quote them.
        with disable_value_validation():
            return _segmentation(_parsed(data))
    except SegmentationUnreadableError:
        raise
    except Exception as error:
        # Bytes can be wrong in every way, and the library's message could quote them: only the
        # kind is reported.
        raise SegmentationUnreadableError(
            f"The segmentation cannot be read ({type(error).__name__}).",
            code="segmentation-broken",
        ) from None


def _parsed(data: bytes) -> Dataset:
    """The attributes that are used, of a file that is no more than it should be."""
    try:
        whole = plain_file(data)
    except SeriesRefusedError as error:
        if error.code == "image-too-large":
            raise too_large() from None
        raise SegmentationUnreadableError("The file is not DICOM.", code="not-dicom") from None
    if whole.count(_ITEM) > MOST_ITEMS:
        raise too_large()
    dataset = pydicom.dcmread(BytesIO(whole), specific_tags=_TAGS)
    if dataset.get("SOPClassUID") != SegmentationStorage:
        raise SegmentationUnreadableError(
            "The instance is not a segmentation (SEG).",
            code="not-a-segmentation",
            remedy="Give the Orthanc id of a SEG instance.",
        )
    return dataset


def _segmentation(dataset: Dataset) -> Segmentation:
    masks = read_masks(dataset)
    groups = items_of(dataset, "PerFrameFunctionalGroupsSequence", _GROUP)
    shared = next(iter(items_of(dataset, "SharedFunctionalGroupsSequence", _GROUP)), {})
    if len(groups) != len(masks):
        raise ValueError("functional groups and frames differ in number")
    return Segmentation(
        patient_id=str(dataset.get("PatientID") or ""),
        study_uid=str(dataset.StudyInstanceUID),
        referenced_series=_referenced_series(dataset),
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        segments=_segments(dataset),
        frames=tuple(
            _frame(group, shared, mask) for group, mask in zip(groups, masks, strict=True)
        ),
    )


def _segments(dataset: Dataset) -> tuple[SegSegment, ...]:
    if len(items_of(dataset, "SegmentSequence", {"SegmentNumber": unsigned_short})) > MOST_SEGMENTS:
        raise too_large()
    described = {
        int(item.SegmentNumber): SegSegment(
            number=int(item.SegmentNumber),
            label=str(item.get("SegmentLabel") or ""),
            colour=_colour(item.get("RecommendedDisplayCIELabValue")),
        )
        for item in dataset.get("SegmentSequence") or ()
    }
    return tuple(described[number] for number in sorted(described))


def _colour(encoded: Sequence[int] | None) -> tuple[int, int, int] | None:
    return srgb_of_cielab(encoded) if encoded is not None and len(encoded) == 3 else None


def _frame(group: Item, shared: Item, packed: PackedMask) -> SegFrame:
    segment = _macro(group, shared, "SegmentIdentificationSequence")
    if segment["ReferencedSegmentNumber"] == 0:
        # Numbers begin with 1 (PS3.3 C.8.20.2): 0 would be drawn as nothing.
        raise ValueError("a frame is of segment 0")
    return SegFrame(
        segment=segment["ReferencedSegmentNumber"],
        sources=_sources(group, shared),
        position=_numbers(
            _macro(group, shared, "PlanePositionSequence"), "ImagePositionPatient", 3
        ),
        orientation=_numbers(
            _macro(group, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6
        ),
        packed=packed,
    )


def _sources(group: Item, shared: Item) -> tuple[tuple[str, int | None], ...]:
    keyword = "DerivationImageSequence"
    return tuple(
        (source["ReferencedSOPInstanceUID"], number)
        for derivation in group.get(keyword) or shared.get(keyword, ())
        for source in derivation.get("SourceImageSequence", ())
        for number in source.get("ReferencedFrameNumber", (None,))
    )


def _referenced_series(dataset: Dataset) -> dict[str, frozenset[str]]:
    return {
        item["SeriesInstanceUID"]: frozenset(
            instance["ReferencedSOPInstanceUID"]
            for instance in item.get("ReferencedInstanceSequence", ())
        )
        for item in items_of(dataset, "ReferencedSeriesSequence", _REFERENCED_SERIES)
    }


def _macro(group: Item, shared: Item, keyword: str) -> Item:
    """A functional group of one frame, from the frame or shared by all; empty without."""
    items: list[Item] = group.get(keyword) or shared.get(keyword) or [{}]
    return items[0]


def _numbers(item: Item, keyword: str, count: int) -> tuple[float, ...] | None:
    numbers: tuple[float, ...] | None = item.get(keyword)
    if numbers is not None and len(numbers) != count:
        raise ValueError(f"{keyword} has not {count} numbers")
    return numbers
