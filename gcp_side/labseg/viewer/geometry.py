"""Where the voxels of a displayed series lie: its shape, its affine, what a voxel's value means.

Everything comes from Image Position, Image Orientation (Patient) and Pixel Spacing (PS3.3
C.7.6.2.1.1); Slice Thickness only stands for the step of a single slice. What cannot be placed
to a fraction of a voxel is refused: an image in the wrong place is worse than none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcp_side.labseg.dicom.pixels import SliceImage
from gcp_side.labseg.errors import SegmentationUnreadableError, SeriesNotShownError
from gcp_side.labseg.viewer.slices import SINGLE_SLICE_STEP_MM, DisplayedSlices, displayed_order

JITTER_MM = 0.1
"""Scanners round positions; a slice may be this far off the regular grid …"""
JITTER_OF_STEP = 0.02
"""… or this share of the distance between slices, whichever is more."""

SAME_PLACE_MM = 1e-3

LARGEST_UNIT_ERROR = 0.01
"""Of the lengths of the direction cosines, and of their scalar product."""

MOST_VOXELS = 256 * 1024 * 1024
"""Half a gigabyte: more is no series for a browser."""


@dataclass(frozen=True, eq=False)
class SeriesGeometry:
    """A series in displayed order, as a grid in space."""

    slices: DisplayedSlices
    shape: tuple[int, int, int]
    """Slices, rows, columns."""
    affine: NDArray[np.float64]
    """[4, 4] (column, row, slice, 1) to LPS millimetres of the voxel's centre."""
    dtype: np.dtype[Any]
    """``<u2`` or ``<i2``."""
    slope: float
    intercept: float
    """``slope * voxel + intercept`` is what the scanner meant (PS3.3 C.11.1)."""
    window: tuple[float, float]
    """Centre and width, of values after slope and intercept."""

    @property
    def instances(self) -> list[str]:
        """Orthanc ids in displayed order, one for each slice."""
        return [item.orthanc_id for item in self.slices.instances]


def middle_of(slices: DisplayedSlices) -> int:
    """The slice whose header speaks for the series: the one that is shown first."""
    return len(slices.instances) // 2


def make_geometry(slices: DisplayedSlices, middle: SliceImage) -> SeriesGeometry:
    """Place a series.

    Parameters
    ----------
    middle:
        The slice of :func:`middle_of`.

    Raises
    ------
    SeriesNotShownError
        ``no-position``, ``no-pixel-spacing``, ``duplicate-slice``, ``uneven-spacing`` or
        ``series-too-large``.
    """
    row, column = _directions(slices.orientation)
    shape = (len(slices.instances), *middle.voxels.shape)
    if int(np.prod(shape)) > MOST_VOXELS:
        raise SeriesNotShownError(
            "The series is too large to be shown.",
            code="series-too-large",
            remedy="Open it in Orthanc's own viewer.",
        )
    between_rows, between_columns = _spacing(middle)
    affine = np.eye(4)
    affine[:3, 0] = row * between_columns
    affine[:3, 1] = column * between_rows
    affine[:3, 2] = _step(slices, np.cross(row, column), middle)
    affine[:3, 3] = slices.positions[0]
    return SeriesGeometry(
        slices=slices,
        shape=(shape[0], shape[1], shape[2]),
        affine=affine,
        dtype=middle.voxels.dtype,
        slope=middle.slope,
        intercept=middle.intercept,
        window=middle.window,
    )


def order_for_display(places: Any) -> DisplayedSlices:
    """As :func:`gcp_side.labseg.viewer.slices.displayed_order`, with this module's error."""
    try:
        return displayed_order(places)
    except SegmentationUnreadableError as error:
        raise SeriesNotShownError(error.message, code=error.code) from None


def _directions(
    orientation: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    row, column = orientation[:3], orientation[3:]
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    # Written so that a NaN is refused too.
    if not (
        np.abs(lengths - 1).max() <= LARGEST_UNIT_ERROR and abs(row @ column) <= LARGEST_UNIT_ERROR
    ):
        raise SeriesNotShownError(
            "Image Orientation (Patient) is not a pair of perpendicular unit vectors.",
            code="no-position",
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    return row, column / np.linalg.norm(column)


def _spacing(middle: SliceImage) -> tuple[float, float]:
    spacing = middle.pixel_spacing
    if spacing is None or not all(0 < value < np.inf for value in spacing):
        raise SeriesNotShownError("The series has no Pixel Spacing.", code="no-pixel-spacing")
    return spacing


def _step(
    slices: DisplayedSlices, normal: NDArray[np.float64], middle: SliceImage
) -> NDArray[np.float64]:
    positions = slices.positions
    if not np.isfinite(positions).all():
        raise SeriesNotShownError(
            "Image Position (Patient) is not three numbers.", code="no-position"
        )
    count = len(positions)
    if count == 1:
        one: NDArray[np.float64] = normal * (middle.thickness_mm or SINGLE_SLICE_STEP_MM)
        return one
    if np.diff(positions @ normal).min() <= SAME_PLACE_MM:
        raise SeriesNotShownError(
            "Two slices of the series lie at the same place.",
            code="duplicate-slice",
            remedy="It may hold several phases: split it, or remove the duplicate.",
        )
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (count - 1)
    expected = positions[0] + np.arange(count)[:, None] * step
    worst = float(np.linalg.norm(positions - expected, axis=1).max())
    size = float(np.linalg.norm(step))
    if worst > max(JITTER_MM, JITTER_OF_STEP * size):
        raise SeriesNotShownError(
            f"The slices are not evenly spaced: one lies {worst:.2f} mm off a step of "
            f"{size:.2f} mm.",
            code="uneven-spacing",
            remedy="A slice may be missing: send the complete series to Orthanc.",
        )
    return step
