"""Phases of an examination that the site recognises, and a tumour as one finds it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from infra.benches.moving.seg import Mask, Shape
from infra.benches.moving.study import SyntheticStudy
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
        """As the base class, with what tells a phase."""
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
    lesion = random_lesion(np.random.default_rng(seed), np.zeros(3), RADIUS_MM)
    axes = [np.arange(size, dtype=np.float32) - size / 2 for size in shape]
    depth = -lesion.signed_distance(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    return [(depth > least).astype(np.uint8) for least in DEPTHS_MM]
