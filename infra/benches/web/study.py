"""Phases of an examination that the site recognises, and a tumour as one finds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from infra.benches.seg import Mask, Shape
from infra.benches.study import SyntheticStudy
from infra.phantom.lesion import random_lesion

RADIUS_MM = 26.0
"""Of the whole tumour, 74 ml: the middle of what BraTS has."""

DEPTHS_MM = (0.0, 8.0, 13.0)
"""How far below the surface oedema, enhancing tumour and necrosis begin."""


class Phases(SyntheticStudy):
    """Four phases, one after the other, of tissue in black; ``shape`` of each."""

    def __init__(self, shape: Shape, *, seed: int) -> None:
        super().__init__("phases", instances=shape[0], matrix=shape[1:], seed=seed)

    def images(self, series: int) -> Iterator[Dataset]:
        """As the base class, with the attributes that distinguish a phase."""
        for image in super().images(series):
            image.StudyDate = image.AcquisitionDate = "20260302"
            image.StudyTime = "101000"
            image.AcquisitionTime = f"10{15 + 2 * series}00"
            image.StudyDescription = "Bench"
            image.SeriesDescription = f"DCE phase {series}"
            image.ImageType = ["ORIGINAL", "PRIMARY"]
            yield image


def tumour(shape: Shape, *, seed: int) -> list[Mask]:
    """Three shells of one lobed lesion in the middle, on a grid of 1 mm."""
    depth = _depth(shape, seed)
    return [(depth > least).astype(np.uint8) for least in DEPTHS_MM]


def tumour_of(shape: Shape, shares: Sequence[float], *, seed: int) -> list[Mask]:
    """Shells of the same lesion that have these shares of the grid's voxels, the largest first."""
    depth = _depth(shape, seed)
    counts = [round(share * depth.size) for share in shares]
    least = [np.partition(depth.ravel(), -count)[-count] for count in counts]
    return [(depth >= one).astype(np.uint8) for one in least]


def _depth(shape: Shape, seed: int) -> npt.NDArray[np.float32]:
    """Millimetres below the lesion's surface, of every voxel."""
    lesion = random_lesion(np.random.default_rng(seed), np.zeros(3), RADIUS_MM)
    axes = [np.arange(size, dtype=np.float32) - size / 2 for size in shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    depth: npt.NDArray[np.float32] = -lesion.signed_distance(grid)
    return depth
