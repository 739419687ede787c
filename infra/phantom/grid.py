"""Voxel grids in patient space (LPS, millimetres; DICOM PS3.3 C.7.6.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

# Columns: direction of growing column, row and slice index, as scanners write them.
AXIAL: Matrix = np.eye(3)
SAGITTAL: Matrix = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
CORONAL: Matrix = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
RAS: Matrix = np.diag([-1.0, -1.0, 1.0])
"""Array axes growing to Right, Anterior, Superior: the network's orientation."""

ORIENTATIONS: dict[str, Matrix] = {"axial": AXIAL, "sagittal": SAGITTAL, "coronal": CORONAL}


@dataclass(frozen=True)
class Grid:
    """A regular grid of voxels.

    Attributes
    ----------
    shape:
        (slices, rows, columns).
    affine:
        4x4 float64 mapping (column, row, slice, 1) to LPS millimetres of the voxel's centre.
    """

    shape: tuple[int, int, int]
    affine: Matrix

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring (columns, rows, slices)."""
        column, row, depth = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(column), float(row), float(depth)

    @property
    def direction(self) -> Matrix:
        """3x3 unit vectors of growing column, row and slice index, as columns."""
        direction: Matrix = self.affine[:3, :3] / np.array(self.spacing)
        return direction

    def points(self) -> FloatArray:
        """Voxel centres, (slices, rows, columns, 3) float32, LPS mm."""
        slices, rows, columns = self.shape
        steps = self.affine[:3, :3].T.astype(np.float32)
        along_column = np.arange(columns, dtype=np.float32)[None, None, :, None] * steps[0]
        along_row = np.arange(rows, dtype=np.float32)[None, :, None, None] * steps[1]
        along_slice = np.arange(slices, dtype=np.float32)[:, None, None, None] * steps[2]
        points: FloatArray = along_slice + along_row + along_column
        points += self.affine[:3, 3].astype(np.float32)
        return points


def centred_grid(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    direction: Matrix,
    centre: Matrix,
) -> Grid:
    """Build a grid around a centre.

    Parameters
    ----------
    shape:
        (slices, rows, columns).
    spacing:
        mm along (columns, rows, slices).
    direction:
        3x3 unit vectors of growing column, row and slice index, as columns (LPS).
    centre:
        (3,) LPS mm of the grid's middle.
    """
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(spacing)
    middle = (np.array(shape[::-1]) - 1) / 2
    affine[:3, 3] = centre - affine[:3, :3] @ middle
    return Grid(shape, affine)


def tilted(direction: Matrix, first_degrees: float, second_degrees: float) -> Matrix:
    """Turn a direction matrix about its own column axis, then about its own row axis."""
    return direction @ rotation(0, first_degrees) @ rotation(1, second_degrees)


def rotation(axis: int, degrees: float) -> Matrix:
    """3x3 right-handed rotation about coordinate axis 0, 1 or 2."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix
