"""Images of a patient in four sequences: brightness, shading, slices, noise, small movements.

A crop is scanned alone, but its brightness is normalised by the whole brain's, as the product does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from infra.brain_phantom.fields import Fields
from infra.brain_phantom.patient import Patient
from infra.brain_phantom.tissues import SEQUENCES, Tissue, random_tables

_TUMOUR = (
    Tissue.OEDEMA,
    Tissue.SOLID,
    Tissue.ENHANCING,
    Tissue.NECROSIS,
    Tissue.CYST,
    Tissue.BLOOD,
)


@dataclass(frozen=True)
class Slices:
    """How one sequence cuts the head.

    Attributes
    ----------
    axis:
        Grid axis across the slices.
    distance_mm, thickness_mm:
        Between slices, and of each.
    tilt:
        Slopes of the slices along the two other axes.
    """

    axis: int
    distance_mm: float
    thickness_mm: float
    tilt: tuple[float, float]


def bright_images(patient: Patient, rng: np.random.Generator) -> Tensor:
    """[4, ...] float32: the four sequences without slices and noise, on the patient's grid."""
    tissues = patient.tissues
    shape = tissues.shape[1:]
    fields = Fields(rng, shape, [count * patient.spacing_mm for count in shape])
    tables = torch.from_numpy(random_tables(rng))
    rows = torch.cat([tables, *(_texture(rng, tables) for _ in range(2))])
    plain, fine, coarse = (rows @ tissues.flatten(1)).reshape(3, 4, *shape)
    images = plain + fine * fields.one(rng.uniform(3.5, 8)) + coarse * fields.one(18.0)
    images *= 1 + rng.uniform(0.0, 0.035) * fields.mixed(9.0)
    images += _regional(rng, fields, tables, tissues)
    return _shaded(rng, fields, images).clamp_min(0)


def _regional(rng: np.random.Generator, fields: Fields, tables: Tensor, tissues: Tensor) -> Tensor:
    """[4, ...] grey and white matter differ from lobe to lobe, and fluid flows into FLAIR."""
    added = []
    for index in range(len(tables)):
        varied = torch.zeros(tissues.shape[1:])
        for tissue in (Tissue.GREY, Tissue.WHITE):
            amount = rng.normal(0, 0.05) * float(tables[index, tissue])
            varied += amount * tissues[tissue] * fields.one(32.0)
        added.append(varied)
    if rng.random() < 0.35:
        inflow = (fields.one(24.0) - rng.uniform(0.3, 1.5)).clamp(0, 1) * tissues[Tissue.FLUID]
        added[3] += rng.uniform(0.1, 0.9) * float(tables[3, Tissue.GREY]) * inflow
    return torch.stack(added)


def _texture(rng: np.random.Generator, tables: Tensor) -> Tensor:
    """[4, 16]: how far each tissue's brightness wavers; a tumour's more than the brain's."""
    amount = torch.full((len(Tissue),), float(rng.uniform(0.0, 0.04)))
    amount[list(_TUMOUR)] = torch.from_numpy(rng.uniform(0, 0.16, len(_TUMOUR))).float()
    signs = torch.from_numpy(rng.uniform(-1, 1, tables.shape)).float()
    return tables * amount * signs


def _shaded(rng: np.random.Generator, fields: Fields, images: Tensor) -> Tensor:
    """Coil shading, partly the same in all sequences, and another curve of brightness."""
    common = fields.one(75.0)
    strength = rng.uniform(0.0, 0.14)
    shaded = []
    for image in images:
        own = 0.7 * common + 0.5 * fields.one(75.0)
        image = image * torch.exp(strength * rng.uniform(0.5, 1.3) * own)
        if rng.random() < 0.4:
            top = image.max().clamp_min(1e-3)
            image = top * (image.clamp_min(0) / top) ** float(np.exp(rng.normal(0, 0.22)))
        shaded.append(image)
    return torch.stack(shaded)


def random_slices(rng: np.random.Generator) -> list[Slices]:
    """Of the four sequences; the network's grid is that of the first, which is never tilted.

    A third is isotropic, a third thick in all sequences and in one plane, a third mixed.
    """
    style = rng.random()
    plane = int(rng.choice(3, p=[0.1, 0.15, 0.75]))
    common = rng.uniform(3.5, 7.0)
    found = []
    for index in range(len(SEQUENCES)):
        if style < 0.33:
            distance = 1.0
        elif style < 0.67:
            distance = common * rng.uniform(0.85, 1.15) if index else common
        else:
            distance = rng.uniform(1, 6.5) if rng.random() < 0.7 else 1.0
        axis = plane if style < 0.67 or rng.random() < 0.6 else int(rng.integers(3))
        is_tilted = index > 0 and rng.random() < (0.2 if index == 1 else 0.5)
        tilt = rng.normal(0, 0.2, 2).clip(-0.45, 0.45) if is_tilted else np.zeros(2)
        thickness = distance * rng.uniform(0.75, 1.0)
        found.append(Slices(axis, distance, thickness, (float(tilt[0]), float(tilt[1]))))
    return found


def scan(
    images: Tensor, spacing_mm: float, slices: list[Slices], rng: np.random.Generator
) -> Tensor:
    """Scan [4, ...] crops: the patient moves between sequences, each adds slices and noise."""
    level = images[images > 0].mean() if bool((images > 0).any()) else torch.tensor(1.0)
    noise = rng.uniform(0.004, 0.05)
    result = []
    for index, (image, cut) in enumerate(zip(images, slices, strict=True)):
        if index and rng.random() < 0.6:
            image = _moved(image, rng, spacing_mm)
        if rng.random() < 0.5:
            image = _blurred(image, float(rng.uniform(0, 0.22)))
        if rng.random() < 0.08:
            image = _ghosted(image, rng)
        sigma = float(level) * noise * rng.uniform(0.6, 1.5)
        sigma *= max(1.0, cut.thickness_mm / spacing_mm) ** 0.5
        # Rician (Gudbjartsson and Patz 1995), but where there is no signal nothing is kept.
        image = (image + sigma * _white_noise(image, rng)).abs() * (image > 0)
        if cut.distance_mm > 0.9 * spacing_mm + 0.2:
            image = sliced(image, spacing_mm, cut, float(rng.uniform(0, 1)))
        result.append(image)
    return torch.stack(result)


def sliced(image: Tensor, spacing_mm: float, cut: Slices, offset: float) -> Tensor:
    """Average over thick slices and interpolate between them, as the product samples them.

    ``offset`` is the place of the first slice, as a share of their distance.
    """
    values = image.movedim(cut.axis, -1)
    first, second, count = values.shape
    step, half = cut.distance_mm / spacing_mm, cut.thickness_mm / spacing_mm / 2
    along_first = (torch.arange(first) - first / 2)[:, None, None] * cut.tilt[0]
    along_second = (torch.arange(second) - second / 2)[None, :, None] * cut.tilt[1]
    start = along_first + along_second + offset * step
    index = (torch.arange(count)[None, None] - start) / step
    lower = index.floor()
    sums = functional.pad(values.cumsum(dim=-1), (1, 0))
    below = _slice_mean(sums, start + lower * step, half)
    above = _slice_mean(sums, start + (lower + 1) * step, half)
    return torch.lerp(below, above, index - lower).movedim(-1, cut.axis)


def _slice_mean(sums: Tensor, middle: Tensor, half: float) -> Tensor:
    """Mean over ``middle`` ± ``half`` voxels, from sums up to each voxel's lower edge."""
    count = sums.shape[-1] - 1
    low = (middle + 0.5 - half).clamp(0, count - 0.5)
    high = (middle + 0.5 + half).clamp(0.5, count)
    high = torch.maximum(high, low + 0.5)
    return (_at(sums, high) - _at(sums, low)) / (high - low)


def _at(sums: Tensor, edge: Tensor) -> Tensor:
    lower = edge.floor().clamp(0, sums.shape[-1] - 2)
    index = lower.long()
    below, above = sums.gather(-1, index), sums.gather(-1, index + 1)
    return torch.lerp(below, above, edge - lower)


def _moved(image: Tensor, rng: np.random.Generator, spacing_mm: float) -> Tensor:
    """What registration leaves: a millimetre or less, now and then some."""
    most = 3.0 if rng.random() < 0.15 else 0.8
    shift = rng.normal(0, most / 1.7, 3).clip(-4, 4) / spacing_mm
    turn = rng.normal(0, 0.008, 3)
    matrix = np.eye(3) + np.array(
        [[0, -turn[2], turn[1]], [turn[2], 0, -turn[0]], [-turn[1], turn[0], 0]]
    )
    sides = np.array(image.shape[::-1], np.float64)
    theta = np.concatenate([matrix, (2 * shift / sides)[:, None]], axis=1)
    grid = functional.affine_grid(
        torch.from_numpy(theta).float()[None], [1, 1, *image.shape], align_corners=False
    )
    return functional.grid_sample(
        image[None, None], grid, align_corners=False, padding_mode="border"
    )[0, 0]


def _blurred(image: Tensor, weight: float) -> Tensor:
    """A kernel of (weight, 1 - 2 weight, weight) along each axis."""
    kernel = torch.tensor([weight, 1 - 2 * weight, weight])
    values = image[None, None]
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[axis + 2] = 3
        padding = [0, 0, 0]
        padding[axis] = 1
        values = functional.conv3d(values, kernel.reshape(shape), padding=padding)
    return values[0, 0]


def _ghosted(image: Tensor, rng: np.random.Generator) -> Tensor:
    """A faint copy beside the head, as motion leaves it along the phase direction."""
    axis = int(rng.integers(3))
    ghost = torch.roll(image, int(rng.integers(6, 30)), dims=axis)
    return image + float(rng.uniform(-0.06, 0.1)) * ghost


def _white_noise(image: Tensor, rng: np.random.Generator) -> Tensor:
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    return torch.randn(image.shape, generator=generator)
