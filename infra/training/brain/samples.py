"""The endless stream of training samples: every one is scanned once, each head a few times.

A sample is a function of its number alone, so a training that goes on after an interruption sees
what it would have seen.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from infra.brain_phantom.atlas import Atlas
from infra.brain_phantom.patient import Patient, make_patient
from infra.brain_phantom.scanner import bright_images, random_slices, scan

TRAINING_SEEDS = range(10_000_000, 11_000_000)
"""Of the patients of training; those of validation and of the final measure lie elsewhere."""

CROP = (64, 80, 64)
"""Voxels along Right, Anterior, Superior: most of a brain on voxels of 2 mm."""

SCANS_OF_ONE = 5
_AT_HAND = 16
_HEALTHY_SHARE = 0.12
_ABOUT_TUMOUR = 0.7


@dataclass(frozen=True)
class Sample:
    """Network input and what is true: float32 [4, ...] and [3, ...] (core, whole, enhancing)."""

    channels: Tensor
    truth: Tensor


class SampleStream:
    """Samples by number; the patients in use are kept."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas
        self._patients: OrderedDict[int, Patient] = OrderedDict()

    def sample(self, number: int) -> Sample:
        """Scan one of the patients whose turn it is, and cut out a part."""
        rng = np.random.default_rng([number, 23])
        patient = self._patient(number // SCANS_OF_ONE + int(rng.integers(_AT_HAND)))
        channels = scanned(patient, rng)
        return _cropped(channels, patient.truth(), rng)

    def _patient(self, index: int) -> Patient:
        if index not in self._patients:
            seed = TRAINING_SEEDS[index]
            is_healthy = np.random.default_rng([seed, 12]).random() < _HEALTHY_SHARE
            made = make_patient(seed, self._atlas, has_tumour=not is_healthy)
            self._patients[index] = made
            if len(self._patients) > _AT_HAND + 2:
                self._patients.pop(min(self._patients))
        return self._patients[index]


def scanned(patient: Patient, rng: np.random.Generator) -> Tensor:
    """[4, ...] what the network would get of a patient: scanned, stripped, normalised."""
    images = scan(bright_images(patient, rng), patient.spacing_mm, random_slices(rng), rng)
    images = torch.stack([_clipped(image, rng) for image in images]) * patient.brain
    _cut_off(images, rng)
    return torch.stack([_z_score(image) for image in images])


def _clipped(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Some scanners and converters let the brightest voxels saturate."""
    if rng.random() >= 0.15:
        return image
    top = torch.quantile(image[::2, ::2, ::2].flatten(), float(rng.uniform(0.985, 0.9995)))
    return image.clamp_max(top)


def _cut_off(images: Tensor, rng: np.random.Generator) -> None:
    """Slabs that do not reach to the top or bottom, in one sequence or in all; in place."""
    for image in images:
        if rng.random() < 0.06:
            _cut(image, rng, 0.3)
    if rng.random() < 0.08:
        _cut(images, rng, 0.3)


def _cut(image: Tensor, rng: np.random.Generator, most: float) -> None:
    count = int(rng.uniform(0.03, most) * image.shape[-1])
    if rng.random() < 0.7:
        image[..., :count] = 0
    else:
        image[..., image.shape[-1] - count :] = 0


def _z_score(image: Tensor) -> Tensor:
    """As ``lab_side.imaging.volume.normalise`` does for ``zscore-nonzero``."""
    inside = image != 0
    values = image[inside]
    if len(values) < 2:
        return image
    return torch.where(inside, (image - values.mean()) / values.std().clamp_min(1e-6), 0.0)


def _cropped(channels: Tensor, truth: Tensor, rng: np.random.Generator) -> Sample:
    size, side = np.array(truth.shape[1:]), np.array(CROP)
    low = rng.integers(-6, np.maximum(size - side + 7, -5))
    tumour = torch.nonzero(truth[1] > 0.5)
    if len(tumour) and rng.random() < _ABOUT_TUMOUR:
        middle = tumour[int(rng.integers(len(tumour)))].numpy()
        low = middle - side // 2 + rng.integers(-side // 3, side // 3 + 1)
        low = np.clip(low, -6, np.maximum(size - side + 6, -6))
    cut = [_window(values, low) for values in (channels, truth)]
    if rng.random() < 0.5:
        cut = [values.flip(1) for values in cut]
    return Sample(cut[0], cut[1])


def _window(values: Tensor, low: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
    """A crop that may reach beyond the volume, where all is 0."""
    result = torch.zeros((len(values), *CROP))
    own, other = [], []
    for start, side, size in zip(low.tolist(), CROP, values.shape[1:], strict=True):
        first, last = max(start, 0), min(start + side, size)
        own.append(slice(first, last))
        other.append(slice(first - start, last - start))
    result[(slice(None), *other)] = values[(slice(None), *own)]
    return result
