"""One synthetic patient: chest, breasts, gland, vessels, benign foci and perhaps a lesion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.phantom.breast import Breast, Chest
from infra.phantom.fields import SmoothField
from infra.phantom.grid import FloatArray, Matrix
from infra.phantom.lesion import Lesion, random_lesion, random_radius
from infra.phantom.vessels import random_vessel

_SKIN_MARGIN_MM = 5.0
_PLACE_TRIES = 400


@dataclass(frozen=True)
class Texture:
    """Random fields of the fibroglandular tissue, from coarse to fine."""

    coarse: SmoothField
    fine: SmoothField
    strands: SmoothField
    uptake: SmoothField


@dataclass(frozen=True)
class Anatomy:
    """A patient as functions of LPS millimetres.

    Attributes
    ----------
    breasts:
        Right and left breast (LPS x < 0 and x > 0).
    side:
        Index of the breast that a one-sided examination shows, and that holds the lesion.
    density:
        Share of glandular tissue, about -0.6 (fatty) to 0.8 (dense).
    vessels, foci:
        (n, 4) float64: centre x, y, z and radius, in mm.
    lesion:
        None in a healthy patient.
    """

    chest: Chest
    breasts: tuple[Breast, Breast]
    side: int
    density: float
    texture: Texture
    vessels: Matrix
    foci: Matrix
    heart: Matrix
    lesion: Lesion | None

    def nipples(self) -> Matrix:
        """(2, 3) LPS mm."""
        return np.array([breast.place(0.0, 1.0, 0.0) for breast in self.breasts])

    def field_of_view_centre(self, bilateral: bool, shift: Matrix) -> Matrix:
        """Where a technician would put the middle of the field of view.

        ``shift``: (3,) mm, the technician's inaccuracy.
        """
        breast = self.breasts[self.side]
        centre = breast.base + np.array([0.0, 12.0 - breast.depth_mm / 2, -4.0])
        if bilateral:
            centre[0] = 0.0
        return np.asarray(centre + shift, np.float64)


def random_anatomy(seed: int, has_lesion: bool) -> Anatomy:
    """Draw a patient; the same arguments always give the same patient."""
    rng = np.random.default_rng([seed, 1])
    chest = Chest(rng.uniform(165, 195), rng.uniform(95, 125))
    breasts = _random_breasts(rng, chest)
    side = int(rng.integers(2))
    texture = Texture(*(SmoothField(rng, scale) for scale in (20.0, 6.5, 14.0, 11.0)))
    lesion = _placed_lesion(rng, chest, breasts[side]) if has_lesion else None
    return Anatomy(
        chest=chest,
        breasts=breasts,
        side=side,
        density=float(rng.uniform(-0.6, 0.8)),
        texture=texture,
        vessels=np.concatenate(
            [*(_breast_vessels(rng, breast) for breast in breasts), *_mammary_vessels(rng, chest)]
        ),
        foci=np.concatenate([_foci(rng, breast) for breast in breasts]),
        heart=np.array([rng.uniform(25, 45), rng.uniform(72, 84), rng.uniform(-40, 10)]),
        lesion=lesion,
    )


def _random_breasts(rng: np.random.Generator, chest: Chest) -> tuple[Breast, Breast]:
    """A right and a left breast that resemble each other."""
    distance = rng.uniform(74, 86)
    width, depth, height = rng.uniform(58, 70), rng.uniform(55, 90), rng.uniform(56, 68)
    droop = rng.uniform(-0.05, 0.25)

    def one(sign: float) -> Breast:
        x = sign * (distance + rng.uniform(-3, 3))
        return Breast(
            base=np.array([x, chest.front_y(x) + 4.0, rng.uniform(-5, 5)]),
            half_width_mm=width * rng.uniform(0.95, 1.05),
            depth_mm=depth * rng.uniform(0.93, 1.07),
            half_height_mm=height * rng.uniform(0.95, 1.05),
            droop=droop,
            outline=SmoothField(rng, 25.0),
        )

    return one(-1.0), one(1.0)


def _placed_lesion(rng: np.random.Generator, chest: Chest, breast: Breast) -> Lesion:
    """A lesion wholly inside the breast, clear of skin and chest wall."""
    radius = random_radius(rng)
    for _ in range(_PLACE_TRIES):
        sideways, upward = rng.uniform(-0.7, 0.7, 2)
        centre = breast.place(sideways, rng.uniform(0.1, 0.8), upward)
        if _room(chest, breast, centre) > 1.3 * radius + _SKIN_MARGIN_MM:
            return random_lesion(rng, centre, radius)
        radius = max(5.0, radius * 0.995)
    raise AssertionError("every breast of the phantom has room for a lesion of 5 mm radius")


def _room(chest: Chest, breast: Breast, place: Matrix) -> float:
    """Distance in mm from a place to the nearest of skin and chest."""
    point: FloatArray = place.astype(np.float32)[None, :]
    inside = -float(breast.signed_distance(point)[0])
    return min(inside, float(chest.signed_distance(point)[0]) + _SKIN_MARGIN_MM)


def _breast_vessels(rng: np.random.Generator, breast: Breast) -> Matrix:
    """A few vessels that enter from the chest and branch towards the nipple."""
    lines = []
    for _ in range(int(rng.integers(3, 8))):
        sideways, upward = rng.uniform(-0.75, 0.75, 2)
        start = breast.place(sideways, rng.uniform(0.0, 0.3), upward)
        target = breast.place(rng.uniform(-0.4, 0.4), rng.uniform(0.5, 0.95), 0.3 * upward)
        heading = target - start
        length = float(np.linalg.norm(heading)) * rng.uniform(0.7, 1.1)
        radius = rng.uniform(0.6, 1.6)
        trunk = random_vessel(rng, start, heading, length, radius)
        lines.append(trunk)
        fork = trunk[len(trunk) // 2]
        aside = heading + rng.normal(0, 0.6, 3) * np.linalg.norm(heading)
        lines.append(random_vessel(rng, fork[:3], aside, 0.5 * length, 0.7 * radius))
    return np.concatenate(lines)


def _mammary_vessels(rng: np.random.Generator, chest: Chest) -> list[Matrix]:
    """The internal mammary vessels beside the breastbone, running along the body."""
    head = np.array([0.0, 0.0, 1.0])
    lines = []
    for sign in (-1.0, 1.0):
        x = sign * rng.uniform(22, 30)
        start = np.array([x, chest.front_y(x) + rng.uniform(19, 24), -110.0])
        lines.append(random_vessel(rng, start, head, 220.0, rng.uniform(1.2, 2.0)))
    return lines


def _foci(rng: np.random.Generator, breast: Breast) -> Matrix:
    """Benign foci: enhancing dots below 5 mm that are no mass (ACR BI-RADS, MRI lexicon)."""
    count = int(rng.integers(0, 4))
    dots = np.empty((count, 4))
    for dot in dots:
        sideways, upward = rng.uniform(-0.5, 0.5, 2)
        dot[:3] = breast.place(sideways, rng.uniform(0.15, 0.75), upward)
        dot[3] = rng.uniform(0.9, 1.9)
    return dots
