"""One synthetic head: tissues on a grid, and what of it is tumour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from infra.brain_phantom.atlas import Atlas
from infra.brain_phantom.fields import Fields, length
from infra.brain_phantom.normal import normal_tissues
from infra.brain_phantom.tissues import CORE, Tissue
from infra.brain_phantom.tumour import Seat, Surroundings, grow, random_kind

EXTENT_MM = (156.0, 192.0, 160.0)
"""Of the box in which training cases lie; it may cut off a little of a large head."""

_CEREBELLUM = (-25.0, -42.0)  # below and behind this in the template
_CAVITY_SHARE = 0.05


@dataclass(frozen=True)
class Patient:
    """A head without brightness.

    Attributes
    ----------
    tissues:
        [16, Right, Anterior, Superior] float32: share of each tissue; all 0 is air.
    brain:
        bool, same grid: what a skull strip keeps, with its errors.
    spacing_mm:
        Side of a voxel; the grid's middle is the origin of places.
    """

    tissues: Tensor
    brain: Tensor
    spacing_mm: float

    def truth(self) -> Tensor:
        """[3, ...] float32 shares: core, whole tumour, enhancing; only inside ``brain``."""
        core = self.tissues[list(CORE)].sum(dim=0)
        whole = core + self.tissues[Tissue.OEDEMA]
        return torch.stack([core, whole, self.tissues[Tissue.ENHANCING]]) * self.brain


def make_patient(
    seed: int,
    atlas: Atlas,
    *,
    has_tumour: bool,
    spacing_mm: float = 2.0,
    extent_mm: tuple[float, float, float] = EXTENT_MM,
) -> Patient:
    """Draw the patient of a seed; the same arguments always give the same one."""
    rng = np.random.default_rng([seed, 11])
    shape = [round(side / spacing_mm) for side in extent_mm]
    fields = Fields(rng, shape, extent_mm)
    points = _points(shape, spacing_mm)
    to_template, shift = _random_pose(rng)
    places = _template_places(rng, fields, points, to_template, shift, atlas)
    seats: list[Seat] = []
    if has_tumour:
        few = (slice(None), *(slice(None, None, 2),) * 3)
        seats = _random_seats(rng, _sample(atlas, places[few]), places[few], points[few])
        for seat in seats:
            places = places + _pushed(rng, seat, points, to_template)
    sampled = _sample(atlas, places)
    tissues = normal_tissues(rng, fields, sampled, places)
    around = Surroundings(
        points=points,
        midline_mm=places[0],
        white=_smoothed(tissues[Tissue.WHITE], 7.0 / spacing_mm),
        fluid=sampled[0],
        ventricle=sampled[4],
    )
    head = sampled[3] > -0.5
    for seat in seats:
        for tissue, share in grow(rng, fields, seat, around):
            paint(tissues, tissue, share * head)
    if rng.random() < _CAVITY_SHARE:
        _paint_cavity(rng, fields, tissues, sampled, points, seats)
    brain = _stripped(rng, fields, sampled[3], tissues)
    return Patient(tissues, brain, spacing_mm)


def paint(tissues: Tensor, tissue: Tissue, share: Tensor) -> None:
    """Cover ``share`` of each voxel with a tissue, in place."""
    covered = torch.nonzero(share > 0.01)
    if not len(covered):
        return
    low, high = covered.min(dim=0).values.tolist(), (covered.max(dim=0).values + 1).tolist()
    box = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
    part = tissues[(slice(None), *box)]
    part *= 1 - share[box]
    part[tissue] += share[box]


def _points(shape: list[int], spacing_mm: float) -> Tensor:
    """[3, ...] millimetres of voxel centres about the middle of the grid."""
    axes = [(torch.arange(count) - (count - 1) / 2) * spacing_mm for count in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def _random_pose(rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], Tensor]:
    """From the box to the template: 3x3, and where the box's middle lies.

    Heads are tilted against the slices, forward and backward most.
    """
    angles = np.radians(rng.normal(0, 1, 3) * [9.0, 4.0, 4.0])
    angles[0] = np.clip(angles[0], -0.42, 0.42)
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    # The template is larger than most heads.
    scale = rng.uniform(0.98, 1.2) * np.exp(rng.normal(0, 0.03, 3))
    shear = np.eye(3) + rng.normal(0, 0.02, (3, 3)) * (1 - np.eye(3))
    mirrored = np.diag([1.0 if rng.random() < 0.5 else -1.0, 1.0, 1.0])
    shift = torch.from_numpy(rng.normal(0, [3.0, 4.0, 4.0])).float()
    return np.diag(scale) @ shear @ mirrored @ matrix, shift


def _template_places(
    rng: np.random.Generator,
    fields: Fields,
    points: Tensor,
    to_template: npt.NDArray[np.float64],
    shift: Tensor,
    atlas: Atlas,
) -> Tensor:
    """[3, ...] template millimetres of each voxel, bent at random."""
    matrix = torch.from_numpy(to_template).float()
    places = torch.einsum("ij,jxyz->ixyz", matrix, points + shift[:, None, None, None])
    places += torch.from_numpy(atlas.middle).float()[:, None, None, None]
    places += rng.uniform(0.5, 3.2) * fields.draw(38.0, 3)
    places += rng.uniform(0.0, 1.2) * fields.draw(15.0, 3)
    return places


def _pushed(
    rng: np.random.Generator, seat: Seat, points: Tensor, to_template: npt.NDArray[np.float64]
) -> Tensor:
    """[3, ...] mm: where tissue about a tumour came from before the tumour pushed it away."""
    offset = points - torch.from_numpy(seat.centre).float()[:, None, None, None]
    distance = length(offset).clamp_min(1.0)
    most = seat.radius_mm * rng.uniform(0.0, 0.5)
    fading = torch.exp(-((distance - seat.radius_mm).clamp_min(0)) / rng.uniform(14, 32))
    amount = most * fading * (distance / seat.radius_mm).clamp_max(1)
    inward = -offset / distance * amount
    return torch.einsum("ij,jxyz->ixyz", torch.from_numpy(to_template).float(), inward)


def _sample(atlas: Atlas, places: Tensor) -> Tensor:
    """The template's maps at some places; far outside it is deep outside the brain."""
    size = torch.tensor(atlas.maps.shape[1:])
    index = places - torch.from_numpy(atlas.origin).float()[:, None, None, None]
    scaled = (2 * index / (size - 1)[:, None, None, None] - 1).flip(0).permute(1, 2, 3, 0)
    return functional.grid_sample(
        atlas.maps[None], scaled[None].contiguous(), align_corners=True, padding_mode="border"
    )[0]


def _random_seats(
    rng: np.random.Generator, sampled: Tensor, places: Tensor, points: Tensor
) -> list[Seat]:
    """One tumour, or a few of a kind."""
    room = (sampled[3] > 5) & (sampled[1] + sampled[2] > 0.6)
    behind = (places[2] < _CEREBELLUM[0]) & (places[1] < _CEREBELLUM[1])
    if rng.random() < 0.93:
        room &= ~behind
    candidates = torch.nonzero(room)
    kind, radius = random_kind(rng)
    first = _seat(rng, kind, radius, candidates[int(rng.integers(len(candidates)))], places, points)
    seats = [first]
    while len(seats) < 4 and rng.random() < 0.13:
        near = points - torch.from_numpy(first.centre).float()[:, None, None, None]
        around = length(near)
        close = torch.nonzero(room & (around > 0.8 * radius) & (around < radius + 45))
        if len(close):
            place = close[int(rng.integers(len(close)))]
            seats.append(_seat(rng, kind, radius * rng.uniform(0.2, 0.8), place, places, points))
    return seats


def _seat(
    rng: np.random.Generator,
    kind: str,
    radius_mm: float,
    voxel: Tensor,
    places: Tensor,
    points: Tensor,
) -> Seat:
    x, y, z = voxel.tolist()
    across = float(places[0, x, y, z])
    crosses = rng.random() < 0.15
    side = 0.0 if crosses or abs(across) < 3 else float(np.sign(across))
    return Seat(kind, points[:, x, y, z].numpy().astype(np.float64), max(radius_mm, 4.0), side)


def _paint_cavity(
    rng: np.random.Generator,
    fields: Fields,
    tissues: Tensor,
    sampled: Tensor,
    points: Tensor,
    seats: list[Seat],
) -> None:
    """An old defect full of fluid, with a bright seam: at the tumour, or anywhere."""
    candidates = torch.nonzero((sampled[3] > 3) & (sampled[3] < 18))
    x, y, z = candidates[int(rng.integers(len(candidates)))].tolist()
    centre = points[:, x, y, z]
    radius = rng.uniform(5, 16)
    if seats and rng.random() < 0.6:
        toward = torch.from_numpy(rng.normal(0, 0.6, 3) * seats[0].radius_mm).float()
        centre = torch.from_numpy(seats[0].centre).float() + toward
    distance = length(points - centre[:, None, None, None])
    inside = radius - distance + 0.25 * radius * fields.mixed(14.0)
    brain = sampled[3] > 0
    if not seats:
        paint(tissues, Tissue.WHITE_LESION, torch.sigmoid(inside + rng.uniform(0, 4)) * brain)
    paint(tissues, Tissue.CAVITY, torch.sigmoid(2 * inside) * brain)


def _stripped(rng: np.random.Generator, fields: Fields, depth: Tensor, tissues: Tensor) -> Tensor:
    """The brain as a skull strip finds it: too wide here, too tight there."""
    error = rng.uniform(-2.5, 2.0) + rng.uniform(0, 1.5) * fields.one(32.0)
    if rng.random() < 0.1:
        error = error + 7 * (fields.one(40.0) - 1.3).clamp(0, 1)
    kept = depth > error
    if rng.random() < 0.35:
        # Stripped before: what lay around the brain is not even in the slices.
        tissues *= depth > error + rng.uniform(-2.0, 0.0)
    return kept


def _smoothed(values: Tensor, radius: float) -> Tensor:
    """Box average over about ``radius`` voxels to each side."""
    reach = max(1, round(radius / 2))
    return functional.avg_pool3d(
        values[None, None], 2 * reach + 1, stride=1, padding=reach, count_include_pad=False
    )[0, 0]
