"""A template of the brain made of ellipsoids, for tests that fetch nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from infra.brain_phantom.atlas import Atlas

SIDES = (150, 180, 150)
"""Voxels of 1 mm."""


def ball_atlas() -> Atlas:
    """White matter within grey within fluid, and two ventricles; its middle is the origin."""
    axes = [np.arange(side) - (side - 1) / 2 for side in SIDES]
    x, y, z = np.meshgrid(*axes, indexing="ij")

    def inside(
        width: float, depth: float, height: float, aside: float = 0.0
    ) -> npt.NDArray[np.float64]:
        shifted = np.abs(x) - aside
        radius = np.sqrt((shifted / width) ** 2 + (y / depth) ** 2 + (z / height) ** 2)
        return np.asarray((1 - radius) * min(width, depth, height))

    depth = inside(62, 78, 60)
    grey = np.clip(depth - 3, 0, 1) * (1 - np.clip(depth - 10, 0, 1))
    ventricle = np.clip(inside(7, 26, 9, aside=11), 0, 1)
    white = np.clip(depth - 10, 0, 1) * (1 - ventricle)
    fluid = np.clip(depth, 0, 1) * (1 - grey - white)
    maps = np.stack([fluid, grey, white, depth, ventricle, ventricle])
    origin = np.array([-(side - 1) / 2 for side in SIDES])
    return Atlas("balls", torch.from_numpy(maps).float(), origin)
