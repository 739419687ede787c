"""Where the voxels of a displayed series lie: its shape, its affine, what a voxel's value means.

Slice Thickness is used only as the step of a single slice. What cannot be placed to a fraction of
a voxel is refused: an image in the wrong place is worse than none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcp_side.labseg.dicom.pixels import SliceImage
from gcp_side.labseg.errors import SeriesNotShownError
from gcp_side.labseg.viewer.slices import SINGLE_SLICE_STEP_MM, DisplayedSlices, refused_as
from segrelay.voxels.slice_geometry import regular_step, slice_axes, stack_affine

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


def make_geometry(slices: DisplayedSlices, middle: SliceImage) -> SeriesGeometry:
    """Place a series.

    Parameters
    ----------
    middle:
        The slice whose header speaks for the series: the one that is shown first.

    Raises
    ------
    SeriesNotShownError
        ``no-position``, ``no-pixel-spacing``, ``duplicate-slice``, ``uneven-spacing`` or
        ``series-too-large``.
    """
    with refused_as(SeriesNotShownError):
        axes = slice_axes(slices.orientation)
    shape = (len(slices.instances), *middle.voxels.shape)
    if int(np.prod(shape)) > MOST_VOXELS:
        raise SeriesNotShownError(
            "The series is too large to be shown.",
            code="series-too-large",
            remedy="Open it in Orthanc's own viewer.",
        )
    spacing = _spacing(middle)
    if len(slices.positions) == 1:
        step = axes.normal * (middle.thickness_mm or SINGLE_SLICE_STEP_MM)
    else:
        with refused_as(SeriesNotShownError):
            step = regular_step(slices.positions, axes.normal)
    return SeriesGeometry(
        slices=slices,
        shape=(shape[0], shape[1], shape[2]),
        affine=stack_affine(axes, spacing, step, slices.positions[0]),
        dtype=middle.voxels.dtype,
        slope=middle.slope,
        intercept=middle.intercept,
        window=middle.window,
    )


def _spacing(middle: SliceImage) -> tuple[float, float]:
    spacing = middle.pixel_spacing
    if spacing is None or not all(0 < value < np.inf for value in spacing):
        raise SeriesNotShownError("The series has no Pixel Spacing.", code="no-pixel-spacing")
    return spacing
