"""Measurements of segments: voxels, millilitres, longest diameter; in memory or in a file.

A stored SEG is measured from its own geometry, with pydicom alone, apart from the code that
writes it: where Orthanc already holds the first SEG of a job, that one is kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from lab_side.imaging.volume.postprocess import Mask
from segrelay.errors import PermanentError
from segrelay.manifest import SegmentMeasurement
from segrelay.profiles import Segment
from segrelay.voxels.diameter import longest_diameter_mm, outline_points

_DAMAGE = (
    AttributeError,
    EOFError,
    IndexError,
    InvalidDicomError,
    KeyError,
    TypeError,
    ValueError,
)
"""What pydicom and numpy raise for a missing attribute or a wrong length."""

_JOB_ID = re.compile(r"(?:^|,)job_id=([^,]+)")


@dataclass(frozen=True, kw_only=True)
class SegDescription:
    """The identity of a stored SEG."""

    sop_instance_uid: str
    series_instance_uid: str
    frames: int
    job_key: str
    """From Algorithm Parameters; empty where another program wrote the SEG."""


def voxel_ml(affine: NDArray[np.float64]) -> float:
    """Volume of one voxel in millilitres (cubic millimetres / 1000)."""
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000.0


def measure_masks(
    masks: Sequence[Mask], affine: NDArray[np.float64], segments: Sequence[Segment]
) -> tuple[SegmentMeasurement, ...]:
    """Measure each segment on the source grid.

    Parameters
    ----------
    masks:
        One per segment: uint8 [slices, rows, columns].
    affine:
        [4, 4] (column index, row index, slice index, 1) to LPS millimetres.
    """
    return tuple(
        _measurement(
            (segment.number, segment.label),
            int(np.count_nonzero(mask)),
            outline_points(mask.astype(bool), affine),
            voxel_ml(affine),
        )
        for mask, segment in zip(masks, segments, strict=True)
    )


def describe_seg(path: Path) -> SegDescription:
    """Read the identity of a stored SEG.

    Raises
    ------
    PermanentError
        ``seg-unreadable``: not a segmentation.
    """
    try:
        seg = pydicom.dcmread(path, stop_before_pixels=True)
        job = _JOB_ID.search(_algorithm_parameters(seg))
        return SegDescription(
            sop_instance_uid=str(seg.SOPInstanceUID),
            series_instance_uid=str(seg.SeriesInstanceUID),
            frames=int(seg.NumberOfFrames),
            job_key=job.group(1) if job else "",
        )
    except _DAMAGE:
        raise _unreadable() from None


def measure_seg(path: Path) -> tuple[SegmentMeasurement, ...]:
    """Measure the segments of a stored BINARY SEG, from its own geometry.

    Raises
    ------
    PermanentError
        ``seg-unreadable``: not a BINARY segmentation in patient coordinates.
    """
    try:
        return _measure(pydicom.dcmread(path))
    except _DAMAGE:
        raise _unreadable() from None


def _measure(seg: Dataset) -> tuple[SegmentMeasurement, ...]:
    shared = seg.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    size = (int(seg.NumberOfFrames), int(seg.Rows), int(seg.Columns))
    frames = np.asarray(seg.pixel_array, dtype=np.bool_).reshape(size)
    voxels: Counter[int] = Counter()
    corners: dict[int, list[NDArray[np.float64]]] = {}
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        identified = groups if "SegmentIdentificationSequence" in groups else shared
        number = int(identified.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        voxels[number] += int(np.count_nonzero(frame))
        placed = outline_points(frame[None], _frame_affine(groups, shared, measures))
        corners.setdefault(number, []).append(placed)
    row, column = (float(value) for value in measures.PixelSpacing)
    one_ml = row * column * float(measures.SpacingBetweenSlices) / 1000.0
    found = [(int(item.SegmentNumber), str(item.SegmentLabel)) for item in seg.SegmentSequence]
    none = [np.empty((0, 3))]
    return tuple(
        _measurement(item, voxels[item[0]], np.concatenate(corners.get(item[0], none)), one_ml)
        for item in found
    )


def _frame_affine(groups: Dataset, shared: Dataset, measures: Dataset) -> NDArray[np.float64]:
    place = groups if "PlaneOrientationSequence" in groups else shared
    cosines = np.array(place.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64)
    affine = np.eye(4)
    affine[:3, 0] = cosines[:3] * float(measures.PixelSpacing[1])
    affine[:3, 1] = cosines[3:] * float(measures.PixelSpacing[0])
    affine[:3, 3] = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
    return affine


def _algorithm_parameters(seg: Dataset) -> str:
    items = seg.SegmentSequence[0].get("SegmentationAlgorithmIdentificationSequence") or []
    return str(items[0].get("AlgorithmParameters") or "") if items else ""


def _unreadable() -> PermanentError:
    return PermanentError(
        "The stored SEG cannot be read: it is not a complete BINARY segmentation.",
        code="seg-unreadable",
        remedy="Look at the instance in Orthanc; remove it if it is damaged, and submit again.",
    )


def _measurement(
    segment: tuple[int, str], voxels: int, corners: NDArray[np.float64], one_ml: float
) -> SegmentMeasurement:
    number, label = segment
    return SegmentMeasurement(
        number=number,
        label=label,
        voxels=voxels,
        volume_ml=round(voxels * one_ml, 4),
        longest_diameter_mm=longest_diameter_mm(corners),
    )
