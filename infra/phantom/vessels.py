"""Vessels of the breast: bright tubes that a network must not take for a tumour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from infra.phantom.fields import soft_inside
from infra.phantom.grid import FloatArray, Grid, Matrix

_STEP_MM = 1.0


def random_vessel(
    rng: np.random.Generator, start: Matrix, heading: Matrix, length_mm: float, radius_mm: float
) -> Matrix:
    """A winding, tapering vessel.

    Parameters
    ----------
    start, heading:
        (3,) LPS mm and direction of the first step.

    Returns
    -------
    numpy.ndarray
        (n, 4) float64: centre line x, y, z and radius, in mm, about 1 mm apart.
    """
    steps = max(2, round(length_mm / _STEP_MM))
    turns = np.cumsum(rng.normal(0, 0.09, (steps, 3)), axis=0)
    headings = heading / np.linalg.norm(heading) + turns
    headings /= np.linalg.norm(headings, axis=1, keepdims=True)
    line = start + np.cumsum(headings * _STEP_MM, axis=0)
    taper = np.linspace(1.0, 0.6, steps) * radius_mm
    return np.column_stack([line, taper])


def draw_vessels(vessels: Matrix, grid: Grid, edge_mm: float) -> FloatArray:
    """Share of each voxel inside a vessel.

    Parameters
    ----------
    vessels:
        (n, 4) float64 knots of all vessels (x, y, z, radius) in mm.

    Returns
    -------
    numpy.ndarray
        (slices, rows, columns) float32, 0..1.
    """
    share: FloatArray = np.zeros(grid.shape, np.float32)
    near = _near_knots(vessels, grid, edge_mm)
    index = np.argwhere(near)
    if index.size == 0:
        return share
    places = index[:, ::-1] @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    distance, nearest = cKDTree(vessels[:, :3]).query(places)
    radius = vessels[nearest, 3]
    # A tube thinner than the ramp never fills a voxel: its peak is its own share of the width.
    filled = np.minimum(1.0, 2 * radius / edge_mm)
    share[near] = soft_inside((distance - radius).astype(np.float32), edge_mm) * filled
    return share


def _near_knots(vessels: Matrix, grid: Grid, edge_mm: float) -> npt.NDArray[np.bool_]:
    """Voxels that a vessel can reach, so that distances are asked for few voxels only."""
    near = np.zeros(grid.shape, bool)
    inverse = np.linalg.inv(grid.affine)
    index = np.rint(vessels[:, :3] @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)[:, ::-1]
    index = index[np.all((index >= 0) & (index < grid.shape), axis=1)]
    near[tuple(index.T)] = True
    reach = (float(vessels[:, 3].max()) + edge_mm + _STEP_MM) / np.array(grid.spacing[::-1])
    size = tuple(2 * int(np.ceil(voxels)) + 1 for voxels in reach)
    grown: npt.NDArray[np.bool_] = ndimage.maximum_filter(near, size=size)
    return grown
