"""Gliomas as shares of tissues: rings about necrosis, solid, low-grade, patchy and cystic ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from infra.brain_phantom.fields import Fields, length
from infra.brain_phantom.tissues import Tissue

Layer = tuple[Tissue, Tensor]
"""A tissue and the share (0..1) of each voxel that it covers."""

_KINDS = ("ring", "solid", "low-grade", "patchy", "cystic")
_KIND_SHARES = (0.4, 0.1, 0.26, 0.18, 0.06)
_RADIUS_MM = {
    "ring": (7.0, 31.0),
    "solid": (6.0, 22.0),
    "low-grade": (9.0, 37.0),
    "patchy": (10.0, 36.0),
    "cystic": (8.0, 26.0),
}


@dataclass(frozen=True)
class Surroundings:
    """What a tumour finds where it grows; all [Right, Anterior, Superior] float32.

    Attributes
    ----------
    points:
        [3, ...] millimetres.
    midline_mm:
        Signed distance to the plane between the hemispheres.
    white:
        Share of white matter, smoothed over some millimetres.
    """

    points: Tensor
    midline_mm: Tensor
    white: Tensor
    fluid: Tensor
    ventricle: Tensor


@dataclass(frozen=True)
class Seat:
    """Kind, place and size of one tumour; ``centre`` is (3,) mm in the box."""

    kind: str
    centre: np.ndarray[tuple[int], np.dtype[np.float64]]
    radius_mm: float
    side: float
    """Sign of the hemisphere; 0 where it may cross the midline."""


def random_kind(rng: np.random.Generator) -> tuple[str, float]:
    """Kind and radius in mm; half of the radii are even on a logarithmic scale, half as such."""
    kind = str(rng.choice(_KINDS, p=_KIND_SHARES))
    low, high = _RADIUS_MM[kind]
    if rng.random() < 0.5:
        return kind, float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return kind, rng.uniform(low, high)


def grow(rng: np.random.Generator, fields: Fields, seat: Seat, around: Surroundings) -> list[Layer]:
    """The layers of a tumour, each painted over those before it."""
    inside = _signed_mm(rng, fields, seat, around)
    parts = {
        "ring": _ring,
        "solid": _solid,
        "low-grade": _low_grade,
        "patchy": _patchy,
        "cystic": _cystic,
    }[seat.kind]
    layers = [_oedema(rng, fields, seat, inside, around)]
    core = _soft(inside, rng.uniform(0.5, 1.2))
    if rng.random() < 0.8:
        core = core * (1 - around.ventricle)
    layers += parts(rng, fields, inside, core)
    return layers


def _signed_mm(
    rng: np.random.Generator, fields: Fields, seat: Seat, around: Surroundings
) -> Tensor:
    """Millimetres inside the core's surface (negative outside): a dented, bulging ellipsoid."""
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    stretch = np.exp(rng.uniform(-0.28, 0.28, 3))
    matrix = torch.from_numpy(np.diag(stretch / np.cbrt(stretch.prod())) @ turn).float()
    offset = around.points - torch.from_numpy(seat.centre).float()[:, None, None, None]
    distance = length(torch.einsum("ij,jxyz->ixyz", matrix, offset))
    radius = seat.radius_mm
    rough = rng.uniform(0.12, 0.34)
    inside = radius - distance + radius * rough * fields.one(float(np.clip(1.1 * radius, 9, 32)))
    inside += min(radius * 0.13, 2.6) * rng.uniform(0.3, 1.2) * fields.one(6.5)
    if seat.kind in ("low-grade", "patchy"):
        inside += radius * rng.uniform(0.1, 0.6) * (around.white - 0.5)
    if seat.side != 0:
        inside = torch.minimum(inside, around.midline_mm * seat.side + 1.5)
    return inside


def _oedema(
    rng: np.random.Generator, fields: Fields, seat: Seat, inside: Tensor, around: Surroundings
) -> Layer:
    """Vasogenic oedema spreads along white matter and spares cortex; infiltration does less so."""
    most = {"ring": 32.0, "solid": 28.0, "low-grade": 7.0, "patchy": 14.0, "cystic": 10.0}
    reach = rng.uniform(0, most[seat.kind]) if rng.random() < 0.88 else 0.0
    sparing = rng.uniform(0.45, 1.0)
    spread = reach * (1 + 0.55 * fields.mixed(24.0))
    spread = spread * (1 - sparing + sparing * (1.25 * around.white).clamp_max(1))
    if seat.side != 0:
        across = around.midline_mm * seat.side
        spread = torch.where(across < -1, spread - 25, spread)
    share = _soft(inside + spread, rng.uniform(0.6, 2.0)) * (1 - around.fluid)
    return Tissue.OEDEMA, share * rng.uniform(0.85, 1.0) if reach > 0 else share * 0


def _ring(rng: np.random.Generator, fields: Fields, inside: Tensor, core: Tensor) -> list[Layer]:
    thickness = rng.uniform(2.0, 8.0) * (1 + 0.45 * fields.mixed(11.0))
    layers: list[Layer] = []
    if rng.random() < 0.3:
        belt = rng.uniform(1, 7) * (0.5 + fields.one(15.0)).clamp_min(0)
        layers.append((Tissue.SOLID, _soft(inside + belt, 1.0)))
    layers.append((Tissue.ENHANCING, core))
    gaps = _soft(2 * (fields.one(13.0) - rng.uniform(0.7, 2.2)), 0.5)
    layers.append((Tissue.SOLID, core * gaps))
    dead = _soft(inside - thickness.clamp_min(1.2), 0.8)
    if rng.random() < 0.35:
        dead = dead * (1 - _soft(2 * (fields.one(9.0) - rng.uniform(0.5, 1.3)), 0.4))
    layers.append((Tissue.NECROSIS, dead))
    if rng.random() < 0.15:
        layers.append((Tissue.BLOOD, dead * _soft(2 * (fields.one(10.0) - 0.6), 0.4)))
    return layers


def _solid(rng: np.random.Generator, fields: Fields, inside: Tensor, core: Tensor) -> list[Layer]:
    layers: list[Layer] = [(Tissue.ENHANCING, core)]
    if rng.random() < 0.6:
        holes = _soft(2 * (fields.one(8.0) - rng.uniform(0.8, 1.8)), 0.4)
        layers.append((Tissue.NECROSIS, holes * _soft(inside - 2.0, 0.8)))
    return layers


def _low_grade(
    rng: np.random.Generator, fields: Fields, inside: Tensor, core: Tensor
) -> list[Layer]:
    layers: list[Layer] = [(Tissue.SOLID, _soft(inside, rng.uniform(0.6, 2.5)))]
    if rng.random() < 0.3:
        holes = _soft(2 * (fields.one(11.0) - rng.uniform(1.0, 1.8)), 0.5)
        layers.append((Tissue.CYST, core * holes))
    if rng.random() < 0.2:
        # Many low-grade gliomas are drawn with a seam that is called oedema.
        layers.append((Tissue.OEDEMA, core * _soft(2 * (fields.one(18.0) - 0.6), 0.5)))
    return layers


def _patchy(rng: np.random.Generator, fields: Fields, inside: Tensor, core: Tensor) -> list[Layer]:
    layers = _low_grade(rng, fields, inside, core)
    deeper = _soft(inside - rng.uniform(0, 5), 1.0)
    patches = _soft(2.5 * (fields.mixed(rng.uniform(8, 20)) - rng.uniform(0.3, 1.3)), 0.5)
    layers.append((Tissue.ENHANCING, deeper * patches * rng.uniform(0.7, 1.0)))
    if rng.random() < 0.5:
        dead = _soft(2.5 * (fields.one(10.0) - rng.uniform(0.7, 1.5)), 0.5)
        layers.append((Tissue.NECROSIS, deeper * dead))
    return layers


def _cystic(rng: np.random.Generator, fields: Fields, inside: Tensor, core: Tensor) -> list[Layer]:
    wall = rng.uniform(1.0, 3.0)
    layers: list[Layer] = [(Tissue.ENHANCING if rng.random() < 0.6 else Tissue.SOLID, core)]
    nodule = _soft(2 * (fields.one(14.0) - rng.uniform(0.4, 1.2)), 0.4)
    layers.append((Tissue.CYST, _soft(inside - wall, 0.7) * (1 - nodule)))
    return layers


def _soft(inside_mm: Tensor, width_mm: float) -> Tensor:
    """Share of a voxel from its depth, with a border of this width."""
    return torch.sigmoid(inside_mm * (2.2 / width_mm))
