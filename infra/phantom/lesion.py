"""The lesion: one irregular mass with uniform or rim enhancement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.phantom.fields import SmoothField
from infra.phantom.grid import FloatArray, Matrix, rotation

SMALLEST_RADIUS_MM = 5.0
LARGEST_RADIUS_MM = 20.0


@dataclass(frozen=True)
class Lesion:
    """Shape of one lesion in patient space.

    Attributes
    ----------
    centre:
        (3,) LPS mm.
    radius_mm:
        Mean radius.
    shape:
        3x3: turns and stretches an offset from the centre, so that the lesion is a ball there.
    lobes, spikes:
        Fields that move the surface in and out, coarse and fine.
    roughness:
        Their strength as shares of the radius.
    rim_mm:
        Thickness of the enhancing rim; None: enhances throughout.
    """

    centre: Matrix
    radius_mm: float
    shape: Matrix
    lobes: SmoothField
    spikes: SmoothField
    roughness: tuple[float, float]
    rim_mm: float | None

    def signed_distance(self, points: FloatArray) -> FloatArray:
        """About the distance to the surface in mm, negative inside.

        ``points``: (..., 3) LPS mm. Far from the lesion the value is only a lower bound.
        """
        offset = (points - self.centre.astype(np.float32)) @ self.shape.astype(np.float32).T
        distance: FloatArray = np.linalg.norm(offset, axis=-1) - np.float32(self.radius_mm)
        near = distance < self.radius_mm + 5
        close = points[near]
        bumps = self.roughness[0] * self.lobes(close) + self.roughness[1] * self.spikes(close)
        limit = 0.35  # keeps the lesion in one piece
        distance[near] -= np.float32(self.radius_mm) * np.clip(bumps, -limit, limit)
        return distance


def random_radius(rng: np.random.Generator) -> float:
    """Mean radius in mm: small lesions are the more frequent ones."""
    share = float(rng.beta(1.2, 1.8))
    return SMALLEST_RADIUS_MM + share * (LARGEST_RADIUS_MM - SMALLEST_RADIUS_MM)


def random_lesion(rng: np.random.Generator, centre: Matrix, radius_mm: float) -> Lesion:
    """A lesion of random shape and enhancement at a given place and size."""
    axes = rng.uniform(0.8, 1.25, 3)
    axes /= np.cbrt(axes.prod())
    turn = rotation(2, rng.uniform(0, 180)) @ rotation(0, rng.uniform(0, 180))
    has_rim = radius_mm > 8 and rng.random() < 0.45
    return Lesion(
        centre=centre,
        radius_mm=radius_mm,
        shape=np.diag(1 / axes) @ turn,
        lobes=SmoothField(rng, max(6.0, 0.6 * radius_mm)),
        spikes=SmoothField(rng, 5.0),
        roughness=(rng.uniform(0.06, 0.2), rng.uniform(0.01, 0.08)),
        rim_mm=float(rng.uniform(3.0, 5.5)) if has_rim else None,
    )
