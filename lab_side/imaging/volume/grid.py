"""The network's grid, and the one interpolation there and back.

A grid is a shape and an affine. Index order is (first, second, third axis); arrays that
SimpleITK sees are indexed the other way round, [third, second, first], as is usual there.

The layout equals that of MONAI's ``Orientationd`` followed by ``Spacingd`` (bilinear,
``diagonal=False``, ``scale_extent=False``), with which networks are commonly trained:

- the axes are those of the reference series, permuted and flipped to come nearest to the
  wanted orientation, so an oblique series stays oblique;
- the first network voxel lies on the centre of the first voxel of the reordered series;
- along each axis there are ``round((n - 1) * old / new + 1)`` voxels, so the grid may end up
  to half a network voxel short of, or beyond, the last voxel centre; there the outermost
  values continue, as with MONAI's ``padding_mode="border"``.

Farther outside a series' field of view its value is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Protocol

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from numpy.typing import NDArray

SAME_SPACING_MM = 1e-3
"""A series this near to the wanted spacing keeps its own, as with MONAI."""

_LPS_AXES = {
    "L": (0, 1.0),
    "R": (0, -1.0),
    "P": (1, 1.0),
    "A": (1, -1.0),
    "S": (2, 1.0),
    "I": (2, -1.0),
}
"""Axis code: LPS coordinate and the sign with which it grows."""


class VolumeLike(Protocol):
    """Voxels with a place."""

    @property
    def voxels(self) -> NDArray[np.float32]:
        """[slices, rows, columns]."""

    @property
    def affine(self) -> NDArray[np.float64]:
        """[4, 4] (column index, row index, slice index, 1) to LPS millimetres."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxel centres."""

    shape: tuple[int, int, int]
    """Voxels along the first, second and third index."""
    affine: NDArray[np.float64]
    """[4, 4] (first, second, third index, 1) to LPS millimetres."""

    @property
    def spacing(self) -> NDArray[np.float64]:
        """[3] millimetres between voxel centres along each index."""
        lengths: NDArray[np.float64] = np.linalg.norm(self.affine[:3, :3], axis=0)
        return lengths


def grid_of(volume: VolumeLike) -> Grid:
    """The grid that the scanner used."""
    slices, rows, columns = volume.voxels.shape
    return Grid(shape=(columns, rows, slices), affine=np.asarray(volume.affine, dtype=np.float64))


def to_image(volume: VolumeLike) -> sitk.Image:
    """The volume as SimpleITK has it, at the same place."""
    image = sitk.GetImageFromArray(volume.voxels)
    _place(image, volume.affine)
    return image


def network_grid(reference: Grid, orientation: str, spacing_mm: Sequence[float]) -> Grid:
    """The grid on which the network works; see the module's docstring for its layout.

    Parameters
    ----------
    reference:
        Grid of the reference series.
    orientation:
        Axis codes as in NIfTI: with ``RAS`` the first index grows towards the patient's
        Right, the second towards Anterior, the third towards Superior.
    spacing_mm:
        Along those axes.
    """
    turned = reorient(reference, orientation)
    old, new = turned.spacing, np.asarray(spacing_mm, dtype=np.float64)
    new = np.where(np.abs(new - old) <= SAME_SPACING_MM, old, new)
    counts = np.round((np.array(turned.shape) - 1) * old / new + 1.0).astype(int)
    affine = turned.affine.copy()
    affine[:3, :3] = turned.affine[:3, :3] * (new / old)
    return Grid(shape=(int(counts[0]), int(counts[1]), int(counts[2])), affine=affine)


def reorient(grid: Grid, orientation: str) -> Grid:
    """The same voxel centres, indexed along axes nearest to ``orientation``."""
    wanted = np.zeros((3, 3))
    for axis, letter in enumerate(orientation):
        coordinate, sign = _LPS_AXES[letter]
        wanted[coordinate, axis] = sign
    cosines = wanted.T @ (grid.affine[:3, :3] / grid.spacing)
    order = max(
        permutations(range(3)), key=lambda p: sum(abs(cosines[axis, p[axis]]) for axis in range(3))
    )
    affine = grid.affine.copy()
    for axis, source in enumerate(order):
        column = grid.affine[:3, source]
        if cosines[axis, source] < 0:
            affine[:3, 3] += column * (grid.shape[source] - 1)
            column = -column
        affine[:3, axis] = column
    shape = (grid.shape[order[0]], grid.shape[order[1]], grid.shape[order[2]])
    return Grid(shape=shape, affine=affine)


def to_grid(
    values: NDArray[np.float32], own_affine: NDArray[np.float64], target: Grid
) -> NDArray[np.float32]:
    """Sample ``values`` at the voxel centres of ``target``, in one linear interpolation.

    Parameters
    ----------
    values:
        float32, indexed [third, second, first] of ``own_affine``.
    own_affine:
        [4, 4] (first, second, third index, 1) to LPS millimetres.

    Returns
    -------
    float32, indexed [third, second, first] of ``target``.
    """
    own = Grid(shape=values.shape[::-1], affine=own_affine)
    reach = _reach(own, target)
    if _ends_together(own, target, reach):
        values, own_affine = _continue_rim(values, own_affine, np.ceil(reach).astype(int))
    image = sitk.GetImageFromArray(values)
    _place(image, own_affine)
    frame = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    _place(frame, target.affine)
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(count) for count in target.shape])
    resampler.SetOutputOrigin(frame.GetOrigin())
    resampler.SetOutputSpacing(frame.GetSpacing())
    resampler.SetOutputDirection(frame.GetDirection())
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetDefaultPixelValue(0.0)
    sampled: NDArray[np.float32] = sitk.GetArrayFromImage(resampler.Execute(image))
    return sampled


def _place(image: sitk.Image, affine: NDArray[np.float64]) -> None:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / spacing
    # ITK cannot invert a direction with numbers near the smallest that there are.
    direction[np.abs(direction) < 1e-12] = 0.0
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())


def _reach(own: Grid, target: Grid) -> NDArray[np.float64]:
    """[3] half a voxel of the coarser of the two grids, in voxels of ``own``."""
    step = np.linalg.inv(own.affine)[:3, :3] @ target.affine[:3, :3]
    reach: NDArray[np.float64] = np.maximum(0.5, 0.5 * np.abs(step).max(axis=1)) + 1e-3
    return reach


def _ends_together(own: Grid, target: Grid, reach: NDArray[np.float64]) -> bool:
    """Whether ``target`` leaves ``own`` nowhere by more than ``reach``."""
    to_own = np.linalg.inv(own.affine) @ target.affine
    ends = [(0, count - 1) for count in target.shape]
    corners = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
    index = to_own[:3, :3] @ corners + to_own[:3, 3:]
    last = np.array(own.shape) - 1
    return bool((index.min(axis=1) >= -reach).all() and (index.max(axis=1) <= last + reach).all())


def _continue_rim(
    values: NDArray[np.float32], affine: NDArray[np.float64], margin: NDArray[np.int_]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Repeat the outermost voxels ``margin`` ([3], first to third index) times on all sides."""
    wider = affine.copy()
    wider[:3, 3] -= affine[:3, :3] @ margin
    return np.pad(values, [(int(count),) * 2 for count in margin[::-1]], mode="edge"), wider
