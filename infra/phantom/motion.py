"""Movement of the patient between two phases."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from infra.phantom.grid import FloatArray, Grid, Matrix, rotation

LARGEST_SHIFT_MM = 1.5
LARGEST_TURN_DEGREES = 0.7


def random_motion(rng: np.random.Generator, grid: Grid) -> Matrix:
    """A rigid motion: a small shift along each axis and a small turn about the grid's middle.

    Returns
    -------
    numpy.ndarray
        4x4 float64, from a place in the moved patient to that of the same tissue before the
        motion, LPS mm.
    """
    shift = rng.uniform(-1, 1, 3) * rng.uniform(0, LARGEST_SHIFT_MM)
    axis = int(rng.integers(3))
    turn = rotation(axis, rng.uniform(-LARGEST_TURN_DEGREES, LARGEST_TURN_DEGREES))
    middle = grid.affine[:3, :3] @ ((np.array(grid.shape[::-1]) - 1) / 2) + grid.affine[:3, 3]
    motion = np.eye(4)
    motion[:3, :3] = turn
    motion[:3, 3] = middle + shift - turn @ middle
    return motion


def move(image: FloatArray, grid: Grid, motion: Matrix) -> FloatArray:
    """The image after the patient moved; (slices, rows, columns) float32 on the same grid.

    ``motion`` is as :func:`random_motion` returns it.
    """
    backwards = np.linalg.inv(grid.affine) @ motion @ grid.affine
    flip = np.eye(4)[[2, 1, 0, 3]]  # affines speak of (column, row, slice), arrays the reverse
    matrix = flip @ backwards @ flip
    moved: FloatArray = ndimage.affine_transform(
        image, matrix[:3, :3], matrix[:3, 3], order=1, mode="nearest"
    )
    return moved
