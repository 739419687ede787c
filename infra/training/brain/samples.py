"""The endless stream of training samples: heads are scanned a few times, scans cut a few times.

A sample is a function of its number alone, so a training that goes on after an interruption sees
what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from infra.brain_phantom.atlas import Atlas
from infra.brain_phantom.patient import Patient, make_patient
from infra.brain_phantom.scanner import bright_images, random_slices, scan

TRAINING_SEEDS = range(10_000_000, 11_000_000)
"""Of the patients of training; those of validation and of the final measure lie elsewhere."""

T = TypeVar("T")

CROP = (64, 80, 64)
"""Voxels along Right, Anterior, Superior: most of a brain on voxels of 2 mm."""

SCANS_OF_ONE = 4
USES_OF_ONE = 3
"""Samples from one scan: an image is made in more time than a network needs to learn from it."""

_AT_HAND = 12
_HEALTHY_SHARE = 0.12
_ABOUT_TUMOUR = 0.7


@dataclass(frozen=True)
class Sample:
    """Network input and what is true: float32 [4, ...] and [3, ...] (core, whole, enhancing)."""

    channels: Tensor
    truth: Tensor


class SampleStream:
    """Samples by number; the patients and scans in use are kept."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas
        self._patients = _Kept(self._make_patient)
        self._scans = _Kept(self._make_scan)

    def sample(self, number: int) -> Sample:
        """Take one of the scans whose turn it is, and cut out a part."""
        rng = np.random.default_rng([number, 23])
        scan_of = self._scans[number // USES_OF_ONE + int(rng.integers(_AT_HAND))]
        return _cropped(scan_of.channels, scan_of.truth, rng)

    def _make_scan(self, index: int) -> Sample:
        rng = np.random.default_rng([index, 29])
        patient = self._patients[index // SCANS_OF_ONE + int(rng.integers(_AT_HAND))]
        channels = scanned(patient, rng)
        return Sample(channels.half(), patient.truth().half())

    def _make_patient(self, index: int) -> Patient:
        seed = TRAINING_SEEDS[index]
        is_healthy = np.random.default_rng([seed, 12]).random() < _HEALTHY_SHARE
        return make_patient(seed, self._atlas, has_tumour=not is_healthy)


class _Kept(Generic[T]):
    """What a function makes of a number; the numbers grow, and the lowest are forgotten."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}

    def __getitem__(self, index: int) -> T:
        if index not in self._made:
            self._made[index] = self._make(index)
            if len(self._made) > _AT_HAND + 2:
                del self._made[min(self._made)]
        return self._made[index]


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
    channels, truth = _window(channels, low), _window(truth, low)
    gain, shift = torch.from_numpy(rng.normal([[1.0], [0.0]], 0.05, (2, 4))).float()
    changed = channels * gain[:, None, None, None] + shift[:, None, None, None]
    channels = torch.where(channels != 0, changed, 0.0)
    return (
        Sample(channels.flip(1), truth.flip(1)) if rng.random() < 0.5 else Sample(channels, truth)
    )


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
