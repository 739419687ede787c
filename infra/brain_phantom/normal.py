"""A head without a tumour: brain, vessels, meninges, plexus, skull, lesions of white matter."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from infra.brain_phantom.fields import Fields, length
from infra.brain_phantom.tissues import Tissue


def normal_tissues(
    rng: np.random.Generator, fields: Fields, sampled: Tensor, places: Tensor
) -> Tensor:
    """[16, Right, Anterior, Superior] shares.

    Parameters
    ----------
    sampled:
        [6, ...] the template's maps, see ``atlas.CHANNELS``.
    places:
        [3, ...] template millimetres.
    """
    depth = sampled[3]
    tissues = torch.zeros((len(Tissue), *depth.shape))
    tissues[:3] = _brain(rng, fields, sampled)
    _paint_outside(rng, fields, tissues, depth)
    _paint_white_lesions(rng, fields, tissues, sampled)
    _paint_meninges(rng, fields, tissues, depth, places)
    _paint_vessels(rng, fields, tissues, depth, places)
    plexus = sampled[4] * ((fields.one(10.0) - rng.uniform(0.2, 1.2)) * 3).clamp(0, 1)
    _cover(tissues, Tissue.CHOROID, plexus)
    return tissues


def _brain(rng: np.random.Generator, fields: Fields, sampled: Tensor) -> Tensor:
    """Fluid, grey and white matter: the average brain's soft folds, made sharp in random places."""
    shares = sampled[:3].clamp(0, 1) + 1e-3
    inside = shares.sum(dim=0) > 0.2
    sharper = shares ** rng.uniform(1.0, 2.6)
    bent = sharper * torch.exp(rng.uniform(0, 0.9) * fields.draw(5.5, 3))
    # More or less fluid in all folds: young and old brains.
    bent[0] *= float(np.exp(rng.normal(0, 0.45)))
    brain = bent / bent.sum(dim=0) * inside * (sampled[3] > 0)
    if rng.random() < 0.4:
        # Wide ventricles, of age or of obstruction.
        wider = (8 * (sampled[5] - rng.uniform(0.12, 0.5))).clamp(0, 1) * (sampled[3] > 0)
        brain = brain * (1 - wider)
        brain[0] += wider
    return brain


def _cover(tissues: Tensor, tissue: Tissue, share: Tensor) -> None:
    """As ``patient.paint``, over brain and skull alone."""
    tissues[:9] *= 1 - share
    tissues[tissue] += share


def _paint_outside(
    rng: np.random.Generator, fields: Fields, tissues: Tensor, depth: Tensor
) -> None:
    """Fluid, dura, skull and scalp; what a wide strip leaves of them is seen as tissue."""
    fluid_mm, skull_mm = rng.uniform(0, 2.5), rng.uniform(4, 9)
    under = -depth + 0.8 * fields.one(12.0)
    outside = depth <= 0
    tissues[Tissue.FLUID] += outside * (under <= fluid_mm)
    tissues[Tissue.DURA] += outside * (under > fluid_mm) * (under <= fluid_mm + 1.5)
    skull = outside * (under > fluid_mm + 1.5) * (under <= fluid_mm + skull_mm)
    marrow = (fields.one(8.0) * 0.5 + rng.uniform(-0.3, 0.8)).clamp(0, 1)
    tissues[Tissue.BONE] += skull * (1 - marrow)
    tissues[Tissue.FAT] += skull * marrow
    scalp = outside * (under > fluid_mm + skull_mm) * (depth > -rng.uniform(11, 18))
    tissues[Tissue.FAT] += scalp


def _paint_white_lesions(
    rng: np.random.Generator, fields: Fields, tissues: Tensor, sampled: Tensor
) -> None:
    """Bright seams of the ventricles and spots in white matter, about the same on both sides."""
    white = tissues[Tissue.WHITE].clone()
    if rng.random() < 0.7:
        caps = sampled[5] * rng.uniform(0.5, 4.0) + 0.35 * fields.one(9.0) - rng.uniform(0.5, 1.3)
        _cover(tissues, Tissue.WHITE_LESION, (3 * caps).clamp(0, 0.9) * white)
    if rng.random() < 0.5:
        field = fields.one(rng.uniform(4.5, 9.0))
        if rng.random() < 0.5:
            field = 0.7 * (field + field.flip(0))
        spots = (3 * (field - rng.uniform(1.7, 3.0))).clamp(0, 1) * white
        _cover(tissues, Tissue.WHITE_LESION, spots)


def _paint_meninges(
    rng: np.random.Generator, fields: Fields, tissues: Tensor, depth: Tensor, places: Tensor
) -> None:
    patchy = (0.5 + 0.7 * fields.one(20.0)).clamp(0, 1)
    thickness = rng.uniform(0.4, 1.6)
    rim = ((depth < 1.0) & (depth > 1.0 - 2 * thickness)) * patchy
    _cover(tissues, Tissue.DURA, rim * rng.uniform(0.2, 0.9))
    falx = (1.6 - places[0].abs() / rng.uniform(0.6, 1.2)).clamp(0, 1) * (places[2] > 0)
    _cover(tissues, Tissue.DURA, falx * tissues[Tissue.FLUID] * patchy)


def _paint_vessels(
    rng: np.random.Generator, fields: Fields, tissues: Tensor, depth: Tensor, places: Tensor
) -> None:
    """Lines where two random fields are both 0, sinuses along the midline, and the skull base."""
    for _ in range(int(rng.integers(1, 4))):
        scale = rng.uniform(14, 34)
        across = length(fields.draw(scale, 2)) * (scale / 1.6)
        line = (rng.uniform(0.8, 2.2) - across + 0.5).clamp(0, 1)
        share = line * (tissues[Tissue.FLUID] + rng.uniform(0, 0.5)).clamp(0, 1) * (depth > -2)
        _cover(tissues, Tissue.VESSEL, share * rng.uniform(0.6, 1.0))
    x, y, z = places
    middle = x.abs() < rng.uniform(2.5, 5.0)
    sinus = middle & (depth < rng.uniform(0.5, 3)) & (depth > -6) & (z > 0)
    torn = (y < -60) & (z < -8) & (z > -28) & (depth < 3) & (depth > -7)
    _cover(tissues, Tissue.VESSEL, (sinus | torn) * rng.uniform(0.5, 1.0))
    if rng.random() < 0.7:
        base = ((x.abs() - 9) / 8) ** 2 + ((y + 2) / 12) ** 2 + ((z + 28) / 8) ** 2 < 1
        _cover(tissues, Tissue.VESSEL, (base & (depth < 5)) * rng.uniform(0.4, 1.0))
