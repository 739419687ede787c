"""The displayed order of a series' slices, and which of them a frame belongs to.

Slices are displayed by rising distance along the slice normal, that is by
``dot(ImagePositionPatient, cross(row, column))``: the order of the imaging pipeline. Orthanc
lists instances in the order of their upload, which means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcp_side.labseg.dicom.segmentation import SegFrame, Segmentation
from gcp_side.labseg.errors import (
    NoSuchSliceError,
    QueryRefusedError,
    SegmentationUnreadableError,
    SeriesNotShownError,
)
from gcp_side.labseg.orthanc.client import SlicePlace
from segrelay.dicom.rounding import SAME_COSINE
from segrelay.errors import SeriesRefusedError
from segrelay.manifest import is_orthanc_id
from segrelay.parts.volume_ids import names_series, volume_id_of
from segrelay.voxels.slice_geometry import check_parallel, slice_order

SAME_PLACE_OF_STEP = 0.1
"""A frame lies on a slice when their positions differ by at most this share of the step."""

SINGLE_SLICE_STEP_MM = 1.0
"""Taken as the step of a series with a single slice."""

PlacedFrame = tuple[int, SegFrame]
"""A frame with the displayed index of its slice."""

REMEDIES = {
    "duplicate-slice": "It may hold several phases: choose one of them, or remove the duplicate.",
    "uneven-spacing": "A slice may be missing: send the complete series to Orthanc.",
}
"""By code, for a series that is looked at; others have the remedy of the error's class."""


@dataclass(frozen=True, eq=False)
class DisplayedSlices:
    """A series in displayed order."""

    instances: tuple[SlicePlace, ...]
    """One for each slice: several may be frames of one instance."""
    positions: NDArray[np.float64]
    """[slices, 3] LPS millimetres."""
    orientation: NDArray[np.float64]
    """[6] direction of a row, then of a column; the same for all slices."""
    is_part: bool = False
    """Whether their instances may hold frames of other volumes."""

    @property
    def tolerance_mm(self) -> float:
        """How far a frame may be off its slice."""
        gaps = np.linalg.norm(np.diff(self.positions, axis=0), axis=1)
        apart = gaps[gaps > 0]
        step = float(np.median(apart)) if len(apart) else SINGLE_SLICE_STEP_MM
        return SAME_PLACE_OF_STEP * step


@contextmanager
def refused_as(
    kind: type[SegmentationUnreadableError] | type[SeriesNotShownError],
) -> Iterator[None]:
    """Raise the refusal of a series as an error of the page, with the same code and message."""
    try:
        yield
    except SeriesRefusedError as error:
        remedy = REMEDIES.get(error.code)
        raise kind(error.message, code=error.code, remedy=remedy) from None


def check_ids(instance_id: str, series_id: str | None) -> None:
    """Refuse what is no Orthanc id, or names no volume, before it becomes part of an address.

    Raises
    ------
    QueryRefusedError
        ``orthanc-id``, ``volume-id``
    """
    if not is_orthanc_id(instance_id):
        raise not_an_id("")
    if series_id is not None and volume_id_of(series_id) is None:
        raise not_an_id(series_id)


def not_an_id(text: str) -> QueryRefusedError:
    """The error for what is no Orthanc id, or names no volume of a series."""
    if names_series(text):
        return QueryRefusedError(
            "An id does not name a volume: behind the colon belongs its number, from 0.",
            code="volume-id",
            remedy="Take the names of the volumes from the series' parts, as the study's address "
            "answers them.",
        )
    return QueryRefusedError(
        "An id is not an Orthanc id.",
        code="orthanc-id",
        remedy="Orthanc ids are five groups of eight hexadecimal digits.",
    )


def check_index(index: int, count: int) -> None:
    """Refuse what is no slice of a series of so many.

    Raises
    ------
    NoSuchSliceError
    """
    if not 0 <= index < count:
        raise NoSuchSliceError(f"The series has slices 0 to {count - 1}.")


def displayed_order(places: Sequence[SlicePlace]) -> DisplayedSlices:
    """Sort a series for display; slices at the same place keep the order of their UIDs.

    Raises
    ------
    SeriesRefusedError
        ``no-position`` or ``mixed-orientation``: the series has no one order.
    """
    instances = sorted(places, key=lambda item: item.sop_instance_uid)
    if any(item.position is None or item.orientation is None for item in instances):
        wrong = next((item.wrong for item in instances if item.wrong), "")
        raise SeriesRefusedError(
            f"{wrong}." if wrong else "The series has instances without a position in space.",
            code="no-position",
        )
    positions = np.array([item.position for item in instances], dtype=np.float64)
    orientations = np.array([item.orientation for item in instances], dtype=np.float64)
    check_parallel(orientations)
    order = slice_order(positions, np.cross(orientations[0, :3], orientations[0, 3:]))
    return DisplayedSlices(
        instances=tuple(instances[index] for index in order),
        positions=positions[order],
        orientation=orientations[0],
    )


def place_frames(
    seg: Segmentation,
    slices: DisplayedSlices,
    matrix: tuple[int, int],
    *,
    segment: int | None = None,
) -> list[PlacedFrame]:
    """The frames with the displayed index of each: by its source image, else by its position.

    Parameters
    ----------
    matrix:
        Rows and columns of the series.
    segment:
        Segment Number; the frames of all segments unless given.

    Raises
    ------
    SegmentationUnreadableError
        ``not-on-grid``: the SEG has another matrix, or a frame lies on no slice of the series or
        is turned against it. ``no-such-segment``: it has no frame of this segment.
    """
    if (seg.rows, seg.columns) != matrix:
        raise not_on_grid()
    frames = [frame for frame in seg.frames if segment in (None, frame.segment)]
    if segment is not None and not frames:
        raise SegmentationUnreadableError(
            "The segmentation has no frame of this segment.",
            code="no-such-segment",
            remedy="Leave ?segment= out to see all.",
        )
    index_of = {(item.sop_instance_uid, item.frame): n for n, item in enumerate(slices.instances)}
    placed = []
    for frame in frames:
        index = _by_source(frame, index_of)
        if index is None:
            index = _by_position(frame, slices)
        if index is None:
            raise not_on_grid()
        placed.append(index)
    if not (_as_turned(frames, slices) and _as_placed(frames, placed, slices)):
        raise not_on_grid()
    return list(zip(placed, frames, strict=True))


def not_on_grid() -> SegmentationUnreadableError:
    """The error for a mask that would be shown in the wrong place."""
    return SegmentationUnreadableError(
        "The segmentation does not lie on the grid of this series.",
        code="not-on-grid",
        remedy="Ask for the series that it was made on.",
    )


def _by_source(frame: SegFrame, index_of: dict[tuple[str, int | None], int]) -> int | None:
    found = {index_of[source] for source in frame.sources if source in index_of}
    return found.pop() if len(found) == 1 else None


def _by_position(frame: SegFrame, slices: DisplayedSlices) -> int | None:
    if frame.position is None:
        return None
    return int(np.linalg.norm(slices.positions - frame.position, axis=1).argmin())


def _as_turned(frames: Sequence[SegFrame], slices: DisplayedSlices) -> bool:
    """Whether what the frames say of their orientation agrees; silence agrees."""
    known = {frame.orientation for frame in frames if frame.orientation is not None}
    off = np.array([*known, slices.orientation]) - slices.orientation
    return bool(np.abs(off).max() <= SAME_COSINE)


def _as_placed(frames: Sequence[SegFrame], placed: Sequence[int], slices: DisplayedSlices) -> bool:
    """Whether what the frames say of their place agrees with their slices; silence agrees."""
    known = [(i, frame.position) for i, frame in zip(placed, frames, strict=True) if frame.position]
    if not known:
        return True
    indices, positions = zip(*known, strict=True)
    off = np.linalg.norm(slices.positions[list(indices)] - np.array(positions), axis=1)
    return bool((off <= slices.tolerance_mm).all())
