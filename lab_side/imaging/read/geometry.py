"""Slices in space: their order, their spacing, and the affine of the stack.

Everything comes from Image Position and Image Orientation (Patient) (PS3.3 C.7.6.2.1.1).
Spacing Between Slices and Slice Thickness are never used: some scanners write the gap there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segrelay.errors import SeriesRefusedError

MINIMUM_SLICES = 3

JITTER_MM = 0.1
"""Scanners round positions; a slice may be this far off the regular grid …"""
JITTER_OF_STEP = 0.02
"""… or this share of the distance between slices, whichever is more."""

SAME_COSINE = 1e-3
"""Direction cosines that differ by less are the same orientation (0.06 degrees)."""

LARGEST_SHEAR = 0.02
"""Sine of the largest angle between the stack's direction and the slice normal."""


@dataclass(frozen=True, eq=False)
class Stack:
    """The order and the place of a stack of parallel slices."""

    order: NDArray[np.intp]
    """[slices] indices into the input, by rising distance along the normal."""
    affine: NDArray[np.float64]
    """[4, 4] (column index, row index, slice index, 1) to LPS millimetres."""


def place_slices(
    positions: NDArray[np.float64],
    orientations: NDArray[np.float64],
    pixel_spacing: tuple[float, float],
) -> Stack:
    """Order slices and fit their affine.

    Parameters
    ----------
    positions:
        [slices, 3] Image Position (Patient), LPS millimetres.
    orientations:
        [slices, 6] Image Orientation (Patient): direction of a row, then of a column.
    pixel_spacing:
        Pixel Spacing in millimetres: between rows, then between columns.

    Raises
    ------
    SeriesRefusedError
        ``too-few-slices``, ``no-position``, ``mixed-orientation``, ``duplicate-slice``,
        ``missing-slice``, ``uneven-spacing`` or ``sheared-stack``.
    """
    if len(positions) < MINIMUM_SLICES:
        raise SeriesRefusedError(
            f"The series has {len(positions)} slices; {MINIMUM_SLICES} are the least.",
            code="too-few-slices",
        )
    along_row, along_column, normal = _axes(orientations)
    distance = positions @ normal
    order = np.argsort(distance, kind="stable")
    _check_gaps(np.diff(distance[order]))
    step = _step(positions[order], normal)
    affine = np.eye(4)
    affine[:3, 0] = along_row * pixel_spacing[1]
    affine[:3, 1] = along_column * pixel_spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[order[0]]
    return Stack(order=order, affine=affine)


def _axes(
    orientations: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    first = orientations[0]
    row, column = first[:3], first[3:]
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    finite = bool(np.isfinite(orientations).all())
    if not finite or np.abs(lengths - 1).max() > 0.01 or abs(row @ column) > 0.01:
        raise SeriesRefusedError(
            "Image Orientation (Patient) is not a pair of perpendicular unit vectors.",
            code="no-position",
        )
    if np.abs(orientations - first).max() > SAME_COSINE:
        raise SeriesRefusedError(
            "The slices of the series are not parallel.",
            code="mixed-orientation",
            remedy="Submit a series of one orientation, without localizer images.",
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    return row, column, np.cross(row, column)


def _tolerance(step: float) -> float:
    return max(JITTER_MM, JITTER_OF_STEP * step)


def _check_gaps(gaps: NDArray[np.float64]) -> None:
    if not np.isfinite(gaps).all():
        raise SeriesRefusedError(
            "Image Position (Patient) is not three numbers.", code="no-position"
        )
    apart = gaps[gaps > 1e-3]
    usual = float(np.median(apart)) if len(apart) else 0.0
    if len(apart) < len(gaps) or gaps.min() < 0.1 * usual:
        raise SeriesRefusedError(
            "Two slices of the series lie at the same place.",
            code="duplicate-slice",
            remedy="Remove the duplicate, or split the series if it holds several phases.",
        )
    steps = np.round(gaps / usual)
    skipped = steps >= 2
    if skipped.any() and (np.abs(gaps - steps * usual)[skipped] <= 2 * _tolerance(usual)).all():
        raise SeriesRefusedError(
            f"The series lacks {int((steps[skipped] - 1).sum())} slices inside its stack.",
            code="missing-slice",
            remedy="Send the complete series to Orthanc and submit again.",
        )


def _step(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    count = len(positions)
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (count - 1)
    size = float(np.linalg.norm(step))
    expected = positions[0] + np.arange(count)[:, None] * step
    worst = float(np.linalg.norm(positions - expected, axis=1).max())
    if worst > _tolerance(size):
        raise SeriesRefusedError(
            f"The slices are not evenly spaced: one lies {worst:.2f} mm off a step of "
            f"{size:.2f} mm.",
            code="uneven-spacing",
        )
    if np.linalg.norm(step - (step @ normal) * normal) > LARGEST_SHEAR * size:
        raise SeriesRefusedError(
            "The slices are stacked at a slant, not along their normal.", code="sheared-stack"
        )
    return step
