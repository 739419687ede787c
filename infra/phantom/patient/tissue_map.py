"""Which two tissues share each voxel of a grid, painted one over the other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from infra.phantom.grid import FloatArray, Grid, Matrix
from infra.phantom.patient.tissues import Tissue

Bytes = npt.NDArray[np.uint8]
Box = tuple[slice, slice, slice]

FULL_UPTAKE = 100
"""Value of :attr:`TissueMap.uptake` at which a tissue enhances as its curve says."""

_WHOLE = 255


@dataclass
class TissueMap:
    """Tissues on a grid; arrays are (slices, rows, columns) uint8.

    Attributes
    ----------
    upper, lower:
        Numbers of the two tissues of a voxel.
    share:
        Of ``upper``: 255 is the whole voxel.
    uptake:
        Local strength of the enhancement, in hundredths.
    truth:
        1 in the primary tumour.
    ignored:
        1 in further malignant foci, which are neither the primary tumour nor a mistake.
    """

    grid: Grid
    upper: Bytes = field(init=False)
    lower: Bytes = field(init=False)
    share: Bytes = field(init=False)
    uptake: Bytes = field(init=False)
    truth: Bytes = field(init=False)
    ignored: Bytes = field(init=False)

    def __post_init__(self) -> None:
        """Fill the grid with air."""
        for name in ("upper", "lower", "truth", "ignored"):
            setattr(self, name, np.zeros(self.grid.shape, np.uint8))
        self.share = np.full(self.grid.shape, _WHOLE, np.uint8)
        self.uptake = np.full(self.grid.shape, FULL_UPTAKE, np.uint8)

    def paint(
        self,
        box: Box,
        share: FloatArray,
        tissue: Tissue,
        uptake: FloatArray | None = None,
    ) -> None:
        """Cover ``share`` (0..1) of the voxels of a box with a tissue.

        ``uptake`` (1 is full) belongs to the voxels with a share above 0, in their order.
        """
        where = share > 0.02
        part = np.rint(share[where] * _WHOLE).astype(np.uint8)
        upper, lower, shares = self.upper[box], self.lower[box], self.share[box]
        below = np.where(shares[where] >= _WHOLE // 2, upper[where], lower[where])
        lower[where] = below
        upper[where] = tissue
        shares[where] = part
        values = self.uptake[box]
        if uptake is None:
            values[where] = FULL_UPTAKE
        else:
            values[where] = np.clip(np.rint(uptake[where] * FULL_UPTAKE), 0, 255)

    def share_of(self, tissue: Tissue) -> FloatArray:
        """(slices, rows, columns) float32, 0..1."""
        share = self.share.astype(np.float32) / _WHOLE
        return np.where(self.upper == tissue, share, 0) + np.where(
            self.lower == tissue, 1 - share, 0
        ).astype(np.float32)


def box_around(grid: Grid, centre: Matrix, reach_mm: float) -> Box:
    """The voxels of a grid within ``reach_mm`` of a place along each patient axis."""
    corners = centre + reach_mm * np.array(
        [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    )
    inverse = np.linalg.inv(grid.affine)
    index = (corners @ inverse[:3, :3].T + inverse[:3, 3])[:, ::-1]
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, grid.shape)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, grid.shape)
    first, second, third = (slice(int(n), int(m)) for n, m in zip(low, high, strict=True))
    return first, second, third


def part_of(grid: Grid, box: Box) -> Grid:
    """The grid of the voxels of a box."""
    start = np.array([part.start for part in box[::-1]])
    affine = grid.affine.copy()
    affine[:3, 3] += grid.affine[:3, :3] @ start
    slices, rows, columns = (max(part.stop - part.start, 0) for part in box)
    return Grid((slices, rows, columns), affine)
