"""Stacks that a network accepts: no slice missing, not slanted, long enough.

The order, the step and the affine of slices: :mod:`segrelay.voxels.slice_geometry`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segrelay.errors import SeriesRefusedError
from segrelay.voxels.slice_geometry import (
    SAME_PLACE_MM,
    check_parallel,
    duplicate_slice,
    jitter_limit_mm,
    regular_step,
    slice_axes,
    slice_order,
    stack_affine,
)

MINIMUM_SLICES = 3

SAME_PLACE_OF_STEP = 0.1
"""Slices that are nearer to each other than this share of the usual step are at one place."""

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
    axes = slice_axes(orientations[0])
    check_parallel(orientations)
    order = slice_order(positions, axes.normal)
    placed = positions[order]
    _check_gaps(np.diff(placed @ axes.normal))
    step = regular_step(placed, axes.normal)
    _check_upright(step, axes.normal)
    return Stack(order=order, affine=stack_affine(axes, pixel_spacing, step, placed[0]))


def _check_gaps(gaps: NDArray[np.float64]) -> None:
    """Name a duplicate or a missing slice, which :func:`regular_step` would call uneven."""
    usual = float(np.median(gaps[gaps > SAME_PLACE_MM])) if gaps.max() > SAME_PLACE_MM else 0.0
    if gaps.min() <= max(SAME_PLACE_MM, SAME_PLACE_OF_STEP * usual):
        raise duplicate_slice()
    steps = np.round(gaps / usual)
    skipped = steps >= 2
    off = np.abs(gaps - steps * usual)[skipped]
    if skipped.any() and (off <= 2 * jitter_limit_mm(usual)).all():
        raise SeriesRefusedError(
            f"The series lacks {int((steps[skipped] - 1).sum())} slices inside its stack.",
            code="missing-slice",
            remedy="Send the complete series to Orthanc and submit again.",
        )


def _check_upright(step: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    if np.linalg.norm(step - (step @ normal) * normal) > LARGEST_SHEAR * np.linalg.norm(step):
        raise SeriesRefusedError(
            "The slices are stacked at a slant, not along their normal.", code="sheared-stack"
        )
