"""A malignant growth: a mass of one or several lobes, or clumped enhancement that is no mass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.phantom.breast import blended
from infra.phantom.fields import SmoothField
from infra.phantom.grid import FloatArray, Matrix
from infra.phantom.lesion import Lesion, random_lesion
from infra.phantom.vessels import random_vessel

_NON_MASS = 0.1
_WITH_RIM = 0.45
_NECROTIC_MM = 7.0  # smaller tumours have no dead core


@dataclass(frozen=True)
class Tumour:
    """Shape and enhancement pattern of one malignant growth.

    Attributes
    ----------
    centre:
        (3,) LPS mm.
    radius_mm:
        About the mean radius.
    lobes:
        Masses whose union, with rounded creases, is the tumour.
    spicules:
        (n, 4) float64: fine strands that radiate from it; centre x, y, z and radius in mm.
    rim_mm:
        Depth below the surface from which it is dead; None: alive throughout.
    patches:
        Field that makes uptake and dead core uneven.
    unevenness:
        Strength of the uneven uptake.
    is_mass:
        False: clumps with normal tissue between them.
    """

    centre: Matrix
    radius_mm: float
    lobes: tuple[Lesion, ...]
    spicules: Matrix
    rim_mm: float | None
    patches: SmoothField
    unevenness: float
    is_mass: bool

    @property
    def reach_mm(self) -> float:
        """Distance from the centre beyond which there is nothing of it."""
        lobes = (
            float(np.linalg.norm(lobe.centre - self.centre)) + 1.8 * lobe.radius_mm
            for lobe in self.lobes
        )
        return max(lobes) + 4.0

    def signed_distance(self, points: FloatArray) -> FloatArray:
        """About the distance to the surface in mm, negative inside; (..., 3) to (...)."""
        distance = self.lobes[0].signed_distance(points)
        for lobe in self.lobes[1:]:
            distance = blended(distance, lobe.signed_distance(points), 0.3 * self.radius_mm)
        return distance


def random_tumour(rng: np.random.Generator, centre: Matrix, radius_mm: float) -> Tumour:
    """A malignant growth of about the given size."""
    is_mass = radius_mm < 10 or rng.random() >= _NON_MASS
    count = int(rng.choice(4, p=[0.4, 0.25, 0.2, 0.15])) if radius_mm > 6 else 0
    main = radius_mm * (1.0 - 0.07 * count)
    lobes = [random_lesion(rng, centre, main)]
    for _ in range(count):
        aside = rng.normal(0, 1, 3)
        aside *= rng.uniform(0.5, 1.05) * main / np.linalg.norm(aside)
        lobes.append(random_lesion(rng, centre + aside, main * rng.uniform(0.35, 0.75)))
    has_rim = radius_mm > _NECROTIC_MM and rng.random() < _WITH_RIM
    return Tumour(
        centre=centre,
        radius_mm=radius_mm,
        lobes=tuple(lobes),
        spicules=_random_spicules(rng, centre, radius_mm),
        rim_mm=float(rng.uniform(2.5, 0.55 * radius_mm)) if has_rim else None,
        patches=SmoothField(rng, float(rng.uniform(4.0, 10.0))),
        unevenness=float(rng.uniform(0.0, 0.4)),
        is_mass=is_mass,
    )


def _random_spicules(rng: np.random.Generator, centre: Matrix, radius_mm: float) -> Matrix:
    if radius_mm < 5 or rng.random() < 0.45:
        return np.empty((0, 4))
    lines = []
    for _ in range(int(rng.integers(4, 16))):
        heading = rng.normal(0, 1, 3)
        start = centre + 0.7 * radius_mm * heading / np.linalg.norm(heading)
        length = radius_mm * rng.uniform(0.5, 1.1)
        lines.append(random_vessel(rng, start, heading, length, rng.uniform(0.5, 1.2)))
    return np.concatenate(lines)
