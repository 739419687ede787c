"""Training crops of synthetic patients, normalised as the product normalises whole studies."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import sleep
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from infra.phantom.grid import FloatArray
from infra.phantom.patient.anatomy import random_patient
from infra.phantom.patient.case import network_view
from infra.phantom.patient.drawing import draw
from infra.phantom.patient.scanner import scan
from infra.phantom.patient.tissue_map import TissueMap
from lab_side.imaging.volume.normalise import normalise

TRAINING_SEEDS = range(11_000_000, 11_002_000)
VALIDATION_SEEDS = range(12_000_000, 12_000_040)
HELD_OUT_LESION_SEEDS = range(16_000_000, 16_000_040)
HELD_OUT_HEALTHY_SEEDS = range(16_000_040, 16_000_080)

CROP = (80, 80, 64)
"""Voxels along Right, Anterior and Superior."""

SCANS = 2
"""Examinations of each patient: other sequence, contrast, coil and export."""

IGNORED = 2.0
"""Value of the truth where it counts neither as tumour nor as a mistake."""

_REST_S = 8.0  # between two patients, so that most of a core is left to the training
_FIRST = 24  # patients, without which a training does not begin
_HEALTHY_EVERY = 4
_CROPS = {"tumour": 3, "bright": 1, "anywhere": 1}  # of each examination
_HEALTHY_CROPS = {"bright": 3, "anywhere": 1}
_NEAR_TUMOUR = 24  # voxels


def is_healthy(seed: int) -> bool:
    """Whether the training or validation case of a seed has no tumour."""
    return seed % _HEALTHY_EVERY == 0


class CropFolder:
    """Crops of training patients on disk, made in another process while there is time.

    Parameters
    ----------
    folder:
        Where they lie, a file for each patient; those that exist are not made again.
    seeds:
        The patients.
    spacing_mm:
        Side of a voxel.
    """

    def __init__(self, folder: Path, seeds: Sequence[int], spacing_mm: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = [folder / f"{seed}.npy" for seed in seeds]
        self._seeds, self._spacing_mm = seeds, spacing_mm
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._ready = list[Path]()

    def __enter__(self) -> Self:
        """Start making what is missing and wait for the first patients."""
        for number, (seed, path) in enumerate(zip(self._seeds, self._paths, strict=True)):
            rest_s = 0.0 if number < _FIRST else _REST_S
            self._pool.submit(write_crops, seed, path, self._spacing_mm, rest_s)
        while self.refresh() < min(_FIRST, len(self._paths)):
            sleep(2)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what is not begun."""
        self._pool.shutdown(cancel_futures=True)

    def refresh(self) -> int:
        """Take in what was made since; returns the number of patients."""
        self._ready = [path for path in self._paths if path.exists()]
        return len(self._ready)

    def random(self, rng: np.random.Generator) -> npt.NDArray[np.float16]:
        """One crop, as :func:`crops_of` makes them."""
        crops = np.load(self._ready[rng.integers(len(self._ready))], mmap_mode="r")
        return np.array(crops[rng.integers(len(crops))])


def write_crops(seed: int, path: Path, spacing_mm: float, rest_s: float = 0.0) -> None:
    """Write the crops of a patient, never half of them, unless they exist; then rest."""
    if not path.exists():
        partial_path = path.with_suffix(".part.npy")
        np.save(partial_path, crops_of(seed, spacing_mm))
        partial_path.replace(path)
        sleep(rest_s)


def crops_of(seed: int, spacing_mm: float) -> npt.NDArray[np.float16]:
    """Crops of the seed's patient.

    Returns
    -------
    numpy.ndarray
        (crops, 5, *CROP) float16, axes Right, Anterior, Superior: four normalised phases and
        the truth (1 tumour, :data:`IGNORED`).
    """
    patient = random_patient(seed, not is_healthy(seed))
    grid, slice_axis = network_view(patient, seed, spacing_mm)
    tissues = draw(patient, grid)
    truth = np.where(tissues.ignored > 0, np.float32(IGNORED), tissues.truth).T
    rng = np.random.default_rng([seed, 21])
    crops = []
    for number in range(SCANS):
        phases = scan(tissues, SCANS * seed + number, slice_axis=slice_axis)
        channels = normalise(phases.transpose(0, 3, 2, 1), "zscore-nonzero")
        crops += [_crop(channels, truth, middle) for middle in _middles(rng, tissues, channels)]
    return np.stack(crops)


def _middles(
    rng: np.random.Generator, tissues: TissueMap, channels: FloatArray
) -> list[npt.NDArray[np.intp]]:
    """Where crops are centred: about the tumour, on what enhances most, anywhere."""
    tumour = np.argwhere(tissues.truth.T)
    change = ndimage.uniform_filter(channels[1] - channels[0], 3)
    bright = np.argwhere(
        (change > np.percentile(change[::3, ::3, ::3], 99)) & (tissues.truth.T == 0)
    )
    anywhere = np.argwhere(tissues.upper.T > 0)
    places = {"tumour": tumour, "bright": bright, "anywhere": anywhere}
    middles = []
    for kind, count in (_CROPS if len(tumour) else _HEALTHY_CROPS).items():
        for _ in range(count):
            chosen = places[kind] if len(places[kind]) else anywhere
            middle = chosen[rng.integers(len(chosen))]
            far = _NEAR_TUMOUR if kind == "tumour" else _NEAR_TUMOUR // 2
            middles.append(middle + rng.integers(-far, far + 1, 3))
    return middles


def _crop(
    channels: FloatArray, truth: FloatArray, middle: npt.NDArray[np.intp]
) -> npt.NDArray[np.float16]:
    """(5, *CROP); zeros beyond the volume's end, as the product pads its windows."""
    size, side = np.array(truth.shape), np.array(CROP)
    room = np.maximum(size - side, 0)
    low = np.clip(middle - side // 2, np.minimum(0, room - 8), np.maximum(room, 8))
    low = np.where(size < side, -((side - size) // 2), low)
    crop = np.zeros((len(channels) + 1, *CROP), np.float16)
    source, target = list[slice](), list[slice]()
    for start, count, whole in zip(low.tolist(), CROP, truth.shape, strict=True):
        first, last = max(start, 0), min(start + count, whole)
        source.append(slice(first, last))
        target.append(slice(first - start, last - start))
    crop[:-1][(slice(None), *target)] = channels[(slice(None), *source)]
    crop[-1][tuple(target)] = truth[tuple(source)]
    return crop
