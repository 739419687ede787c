"""The breast case that every system gets, its network with random weights, and the look at a SEG.

Random weights find the whole breast. The last layer's bias is lowered until what is left is the
lesion, so that everybody writes a SEG of usual size and the page has something to show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import safetensors.torch
from pydicom.dataset import Dataset

from infra.benches.infer.scene import BREAST, BreastSize, write_random_profile
from infra.benches.study import Pixels
from segrelay.profiles import PROFILE_FILE

UPTAKE = (0, 1500, 1200, 900)
"""By phase: how much brighter the lesion is than the tissue around it, whose mean is 600."""

LESION_SHARE = 1 / 6
"""Radius of the lesion as part of the field of view's width: 28 mm of 170 mm, 11 ml."""

BIAS_LOWERED = 8.0
"""Logits; the lesion's are 11 in the median, the tissue's 2."""

_BIAS = "out.conv.conv.bias"

LEAST_SHARE = 0.5
"""Of the lesion's voxels that a mask must have."""

_Z = 2


class BreastCase(BreastSize):
    """Four phases with a lesion that takes up contrast, as the site recognises them.

    Parameters
    ----------
    slices, side, seed:
        Of each of the four series; rows and columns.
    """

    def __init__(self, slices: int, side: int, seed: int) -> None:
        super().__init__("black", instances=slices, matrix=(side, side), seed=seed)
        self._shape = (slices, side, side)

    def images(self, series: int) -> Iterator[Dataset]:
        """As the base class, with the words by which the site knows a phase."""
        for image in super().images(series):
            image.StudyDescription = "Bench"
            image.SeriesDescription = f"DCE phase {series}"
            image.ImageType = ["ORIGINAL", "PRIMARY"]
            yield image

    def lesion(self, position: int) -> npt.NDArray[np.bool_]:
        """Where the lesion is in one slice, [rows, columns]."""
        slices, rows, columns = self._shape
        across, down, step = self.spacing
        radius = LESION_SHARE / 2 * columns * across
        z = (position - slices / 2) * step
        y = (np.arange(rows)[:, None] - rows / 2) * down
        x = (np.arange(columns) - columns / 2) * across
        inside: npt.NDArray[np.bool_] = x**2 + y**2 + z**2 <= radius**2
        return inside

    def share_found(self, seg: bytes) -> float:
        """The share of the lesion's voxels that a SEG of one segment on this study has."""
        dataset = pydicom.dcmread(BytesIO(seg))
        masks = dataset.pixel_array.reshape(-1, *self._shape[1:])
        wanted = found = 0
        by_slice = {}
        for frame, group in zip(masks, dataset.PerFrameFunctionalGroupsSequence, strict=True):
            place = group.PlanePositionSequence[0].ImagePositionPatient
            by_slice[round(float(place[_Z]) / self.spacing[_Z])] = frame
        for position in range(self._shape[0]):
            lesion = self.lesion(position)
            wanted += int(lesion.sum())
            if position in by_slice:
                found += int((by_slice[position][lesion] > 0).sum())
        return found / wanted

    def _pixels(self, series: int, position: int) -> Pixels:
        pixels = super()._pixels(series, position)
        pixels[self.lesion(position)] += np.uint16(UPTAKE[series])
        return pixels


def write_model(folder: Path, window: int) -> Path:
    """Write the profile of the case and its weights below ``folder``; returns its own folder.

    ``window`` is the side of the network's windows, voxels.
    """
    profile = write_random_profile(BREAST, folder)
    home = folder / BREAST
    file = home / str(profile.weights.file)
    weights = safetensors.torch.load_file(file)
    weights[_BIAS] = weights[_BIAS] - BIAS_LOWERED
    safetensors.torch.save_file(weights, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    named = profile.weights.model_copy(update={"sha256": digest})
    windows = profile.inference.model_copy(update={"window": (window,) * 3})
    changed = profile.model_copy(update={"weights": named, "inference": windows})
    (home / PROFILE_FILE).write_text(changed.model_dump_json(), encoding="utf-8")
    return home
