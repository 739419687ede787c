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
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import SegmentationStorage

from gcp_side.labseg.colour import srgb_of_cielab
from gcp_side.labseg.errors import SegmentationUnreadableError


@dataclass(frozen=True, eq=False)
class SegFrame:
    """One frame: a mask of one segment on one plane."""

    segment: int
    """Segment Number."""
    sources: tuple[str, ...]
    """SOP Instance UIDs of the images that it was made from; may be empty."""
    position: tuple[float, ...] | None
    """Image Position (Patient), LPS millimetres."""
    orientation: tuple[float, ...] | None
    """Image Orientation (Patient): direction of a row, then of a column."""
    mask: NDArray[np.bool_]
    """[rows, columns]"""


@dataclass(frozen=True)
class SegSegment:
    """What a SEG says of one segment."""

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
        ``not-dicom``, ``not-a-segmentation``, ``segmentation-type`` or
        ``segmentation-broken``.
    """
    try:
        dataset = pydicom.dcmread(BytesIO(data))
    except InvalidDicomError:
        raise SegmentationUnreadableError("The file is not DICOM.", code="not-dicom") from None
    if dataset.get("SOPClassUID") != SegmentationStorage:
        raise SegmentationUnreadableError(
            "The instance is not a segmentation (SEG).",
            code="not-a-segmentation",
            remedy="Give the Orthanc id of a SEG instance.",
        )
    try:
        return _segmentation(dataset)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        # The library's message could quote the file: only the kind is told.
        raise SegmentationUnreadableError(
            f"The segmentation cannot be read ({type(error).__name__}).",
            code="segmentation-broken",
        ) from None


def _segmentation(dataset: Dataset) -> Segmentation:
    masks = _masks(dataset)
    groups: Sequence[Dataset] = dataset.PerFrameFunctionalGroupsSequence
    shared = _first(dataset, "SharedFunctionalGroupsSequence") or Dataset()
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


def _masks(dataset: Dataset) -> NDArray[np.bool_]:
    """[frames, rows, columns]"""
    kind = dataset.SegmentationType
    if kind not in ("BINARY", "FRACTIONAL"):
        raise SegmentationUnreadableError(
            "The segmentation is neither BINARY nor FRACTIONAL.", code="segmentation-type"
        )
    pixels = dataset.pixel_array
    pixels = pixels.reshape(-1, dataset.Rows, dataset.Columns)
    if kind == "BINARY":
        return np.asarray(pixels > 0)
    return np.asarray(2 * pixels.astype(np.uint16) >= int(dataset.MaximumFractionalValue))


def _frame(group: Dataset, shared: Dataset, mask: NDArray[np.bool_]) -> SegFrame:
    segment = _macro(group, shared, "SegmentIdentificationSequence")
    if segment is None:
        raise ValueError("a frame names no segment")
    place = _macro(group, shared, "PlanePositionSequence")
    plane = _macro(group, shared, "PlaneOrientationSequence")
    return SegFrame(
        segment=int(segment.ReferencedSegmentNumber),
        sources=_sources(group, shared),
        position=_numbers(place, "ImagePositionPatient", 3),
        orientation=_numbers(plane, "ImageOrientationPatient", 6),
        mask=mask,
    )


def _sources(group: Dataset, shared: Dataset) -> tuple[str, ...]:
    holder = group if "DerivationImageSequence" in group else shared
    return tuple(
        str(source.ReferencedSOPInstanceUID)
        for derivation in holder.get("DerivationImageSequence") or ()
        for source in derivation.get("SourceImageSequence") or ()
    )


def _referenced_series(dataset: Dataset) -> dict[str, frozenset[str]]:
    return {
        str(item.SeriesInstanceUID): frozenset(
            str(instance.ReferencedSOPInstanceUID)
            for instance in item.get("ReferencedInstanceSequence") or ()
        )
        for item in dataset.get("ReferencedSeriesSequence") or ()
    }


def _macro(group: Dataset, shared: Dataset, keyword: str) -> Dataset | None:
    """A functional group of one frame, from the frame or shared by all."""
    return _first(group, keyword) or _first(shared, keyword)


def _first(dataset: Dataset, keyword: str) -> Dataset | None:
    items = dataset.get(keyword)
    return items[0] if items else None


def _numbers(dataset: Dataset | None, keyword: str, count: int) -> tuple[float, ...] | None:
    value: Any = None if dataset is None else dataset.get(keyword)
    if value is None:
        return None
    numbers = tuple(float(item) for item in value)
    if len(numbers) != count:
        raise ValueError(f"{keyword} has not {count} numbers")
    return numbers
