"""Skull stripping: voxels outside the brain become 0, as some networks were trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lab_side.imaging.volume.grid import Grid
from segrelay.errors import SeriesRefusedError
from segrelay.notices import Notice, notice
from segrelay.profiles import SkullStrip

LEAST_ML, MOST_ML = 300.0, 2500.0
"""A newborn's brain, and more than any: what is found outside these is not a brain alone."""

Sampled = Mapping[str, NDArray[np.float32]]
"""By role, on the network's grid: float32 [third, second, first network axis]."""

FindBrain = Callable[[NDArray[np.float32]], NDArray[np.bool_]]
"""As ``BrainFinder.find``."""


def strip_skull(
    sampled: Sampled, grid: Grid, orientation: str, settings: SkullStrip, find_brain: FindBrain
) -> tuple[dict[str, NDArray[np.float32]], Notice]:
    """Set what is not brain to 0 in every input; and the sentence for the result.

    Parameters
    ----------
    orientation:
        Axis codes of the network's grid.

    Raises
    ------
    SeriesRefusedError
        ``no-brain``: what was found is not one.
    """
    brain = find_brain(_seen(sampled[settings.role], orientation))
    volume_ml = float(brain.sum() * np.prod(grid.spacing) / 1000.0)
    if not LEAST_ML <= volume_ml <= MOST_ML:
        # Outside a wrong brain a tumour would be passed over in silence.
        raise SeriesRefusedError(
            f"No brain was found in {settings.role}: what looks like one has {volume_ml:.0f} ml.",
            code="no-brain",
            remedy="Check that the series of this role is T1-weighted and shows the whole head; "
            "where it is stripped already, a profile without skull_strip fits.",
        )
    kept = _widened(_unseen(brain, orientation), grid, settings)
    stripped = {role: np.where(kept, values, np.float32(0)) for role, values in sampled.items()}
    return stripped, notice("brain-found", role=settings.role, volume_ml=round(volume_ml))


def _widened(brain: NDArray[np.bool_], grid: Grid, settings: SkullStrip) -> NDArray[np.bool_]:
    if settings.margin_mm == 0:
        return brain
    distance_mm = ndimage.distance_transform_edt(~brain, sampling=grid.spacing[::-1])
    return np.asarray(distance_mm <= settings.margin_mm)


def _seen(values: NDArray[np.float32], orientation: str) -> NDArray[np.float32]:
    """[third, second, first network axis] as [to the right, to the front, to the top]."""
    axes, mirrored = _axes(orientation)
    seen = np.flip(values.transpose(2, 1, 0), mirrored).transpose(axes)
    return np.ascontiguousarray(seen)


def _unseen(mask: NDArray[np.bool_], orientation: str) -> NDArray[np.bool_]:
    axes, mirrored = _axes(orientation)
    return np.flip(mask.transpose(np.argsort(axes)), mirrored).transpose(2, 1, 0)


def _axes(orientation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which network axis runs right-left, back-front, bottom-top; and which run the other way."""
    pairs = ("RL", "AP", "SI")
    axes = tuple(
        next(axis for axis, letter in enumerate(orientation) if letter in pair) for pair in pairs
    )
    return axes, tuple(axis for axis, letter in enumerate(orientation) if letter in "LPI")
