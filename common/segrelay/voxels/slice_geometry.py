"""Slices in space: their axes, their order, their step, and the affine of the stack.

Everything comes from Image Position, Image Orientation (Patient) and Pixel Spacing (DICOM PS3.3
C.7.6.2.1.1). Spacing Between Slices and Slice Thickness are never used: some scanners write the
gap there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segrelay.dicom.orientation import not_parallel
from segrelay.dicom.rounding import JITTER_MM, JITTER_OF_STEP, SAME_COSINE
from segrelay.errors import SeriesRefusedError

SAME_PLACE_MM = 1e-3
"""Slices that are no farther apart along their normal are at one place."""

LARGEST_UNIT_ERROR = 0.01
"""Of the lengths of the direction cosines, and of their scalar product."""


class Axes(NamedTuple):
    """Unit vectors, [3] each, in LPS: along a row, along a column, along the slice normal."""

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    normal: NDArray[np.float64]


def slice_axes(orientation: NDArray[np.float64]) -> Axes:
    """Make perpendicular unit vectors of one Image Orientation (Patient), [6].

    Raises
    ------
    SeriesRefusedError
        ``no-position``: it is not a pair of perpendicular unit vectors.
    """
    row, column = orientation[:3], orientation[3:]
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    # Written so that a NaN is refused too.
    if not (
        np.abs(lengths - 1).max() <= LARGEST_UNIT_ERROR and abs(row @ column) <= LARGEST_UNIT_ERROR
    ):
        raise SeriesRefusedError(
            "Image Orientation (Patient) is not a pair of perpendicular unit vectors.",
            code="no-position",
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    return Axes(row, column, np.cross(row, column))


def check_parallel(orientations: NDArray[np.float64]) -> None:
    """Check that all slices, [slices, 6], have one orientation.

    Raises
    ------
    SeriesRefusedError
        ``mixed-orientation``
    """
    if not np.abs(orientations - orientations[0]).max() <= SAME_COSINE:
        raise not_parallel()


def slice_order(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices of slices, [slices, 3], by rising distance along the normal; equal ones as given.

    Raises
    ------
    SeriesRefusedError
        ``no-position``
    """
    if not np.isfinite(positions).all():
        raise SeriesRefusedError(
            "Image Position (Patient) is not three numbers.", code="no-position"
        )
    return np.argsort(positions @ normal, kind="stable")


def jitter_limit_mm(step_mm: float) -> float:
    """How far a slice may be off a regular grid of this step."""
    return max(JITTER_MM, JITTER_OF_STEP * step_mm)


def regular_step(
    positions: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The vector, [3] millimetres, from each slice to the next.

    Parameters
    ----------
    positions:
        [slices, 3] in the order of :func:`slice_order`, two at least.

    Raises
    ------
    SeriesRefusedError
        ``duplicate-slice`` or ``uneven-spacing``.
    """
    if np.diff(positions @ normal).min() <= SAME_PLACE_MM:
        raise duplicate_slice()
    count = len(positions)
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (count - 1)
    size = float(np.linalg.norm(step))
    expected = positions[0] + np.arange(count)[:, None] * step
    worst = float(np.linalg.norm(positions - expected, axis=1).max())
    if worst > jitter_limit_mm(size):
        raise SeriesRefusedError(
            f"The slices are not evenly spaced: one lies {worst:.2f} mm off a step of "
            f"{size:.2f} mm.",
            code="uneven-spacing",
        )
    return step


def duplicate_slice() -> SeriesRefusedError:
    """The error for slices at one place."""
    return SeriesRefusedError(
        "Two slices of the series lie at the same place.",
        code="duplicate-slice",
        remedy="Remove the duplicate; of a series that holds several phases choose one: on the "
        "site's page, or by hand as ID:0, ID:1 ….",
    )


def stack_affine(
    axes: Axes,
    pixel_spacing: tuple[float, float],
    step: NDArray[np.float64],
    first: NDArray[np.float64],
) -> NDArray[np.float64]:
    """[4, 4] from (column index, row index, slice index, 1) to LPS millimetres.

    Parameters
    ----------
    pixel_spacing:
        Pixel Spacing in millimetres: between rows, then between columns.
    step:
        As from :func:`regular_step`.
    first:
        [3] position of the first slice.
    """
    affine = np.eye(4)
    affine[:3, 0] = axes.row * pixel_spacing[1]
    affine[:3, 1] = axes.column * pixel_spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first
    return affine
