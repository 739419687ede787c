"""From the tissues on a grid to four phases as scanners, coils and exports make them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from infra.phantom.case import REFERENCE_PHASE
from infra.phantom.fields import SmoothField
from infra.phantom.grid import FloatArray, Grid
from infra.phantom.patient.drawing import coarse_values
from infra.phantom.patient.signals import PHASES, Signals, random_signals
from infra.phantom.patient.tissue_map import FULL_UPTAKE, TissueMap
from infra.phantom.patient.tissues import Tissue

_COARSE_MM = 12.0  # distance of the knots of shading; far less than its scale

# Shares of the examinations with a peculiarity.
_WITH_MOTION = 0.6
_WITH_FAILED_SUPPRESSION = 0.35
_WITH_PHASE_GAINS = 0.15
_RESCALED_BY_PHASE = 0.08
_RESCALED_BY_SLICE = 0.27
_WITHOUT_AIR = 0.3

_LARGEST = 4095.0


def scan(tissues: TissueMap, seed: int, *, slice_axis: int = 0) -> FloatArray:
    """Four phases of the patient on the map's grid.

    Parameters
    ----------
    seed:
        Sequence, contrast, coil, noise and export depend on it.
    slice_axis:
        Array axis along which the scanner laid its slices.

    Returns
    -------
    numpy.ndarray
        (4, slices, rows, columns) float32, at least 0: before contrast, then three after.
    """
    rng = np.random.default_rng([seed, 13])
    phases = _still(tissues, random_signals(rng), rng)
    phases *= _coil(rng, tissues.grid)
    if rng.random() < _WITH_MOTION:
        _move(rng, phases)
    _blur(rng, phases, slice_axis)
    _add_noise(rng, phases)
    return _exported(rng, phases, slice_axis)


def _still(tissues: TissueMap, signals: Signals, rng: np.random.Generator) -> FloatArray:
    """Noiseless phases of a patient who does not move."""
    share = tissues.share.astype(np.float32) / np.float32(255)

    def mixed(table: FloatArray) -> FloatArray:
        lower = table[tissues.lower]
        mixture: FloatArray = lower + share * (table[tissues.upper] - lower)
        return mixture

    base = mixed(signals.base)
    if rng.random() < _WITH_FAILED_SUPPRESSION:
        base += _failed_suppression(rng, tissues, signals)
    grain = rng.standard_normal(tissues.grid.shape, np.float32)
    grain = ndimage.uniform_filter(grain, 2) * np.float32(2.8 * rng.uniform(0.0, 0.09))
    base *= 1 + grain
    uptake = tissues.uptake.astype(np.float32) / np.float32(FULL_UPTAKE)
    phases = np.empty((PHASES, *tissues.grid.shape), np.float32)
    for phase, table in zip(phases, signals.enhancement, strict=True):
        phase[...] = base + mixed(table) * uptake if table.any() else base
    return phases


def _failed_suppression(
    rng: np.random.Generator, tissues: TissueMap, signals: Signals
) -> FloatArray:
    """What fat adds where the field is too uneven to suppress it."""
    field = SmoothField(rng, float(rng.uniform(60, 140)))
    values = coarse_values(field, tissues.grid, _step(tissues.grid))
    failed = 1 / (1 + np.exp(-6 * (values - np.float32(rng.uniform(0.8, 1.8)))))
    missing = np.float32(signals.unsuppressed_fat - signals.base[Tissue.FAT])
    added: FloatArray = failed * missing * tissues.share_of(Tissue.FAT)
    return added.astype(np.float32)


def _step(grid: Grid) -> int:
    return max(1, int(_COARSE_MM / max(grid.spacing)))


def _coil(rng: np.random.Generator, grid: Grid) -> FloatArray:
    """Sensitivity of a breast coil: falls off towards the back, uneven over decimetres."""
    step = _step(grid)
    uneven = coarse_values(SmoothField(rng, float(rng.uniform(90, 160))), grid, step)
    depth = grid.points()[..., 1]  # LPS: grows towards the back
    reach = np.exp(rng.uniform(np.log(90), np.log(900)))
    start = rng.uniform(-60, 30)
    fall = np.maximum(depth - np.float32(start), 0) / np.float32(reach)
    sensitivity: FloatArray = np.exp(np.float32(rng.uniform(0.02, 0.3)) * uneven - fall)
    return sensitivity.astype(np.float32)


def _move(rng: np.random.Generator, phases: FloatArray) -> None:
    """Shift all phases but the reference by up to a voxel along each axis, in place."""
    most = rng.uniform(0.1, 1.0)
    for number, phase in enumerate(phases):
        if number == REFERENCE_PHASE:
            continue
        for axis, shift in enumerate(rng.uniform(-most, most, 3)):
            part = np.float32(abs(shift))
            phase += part * (np.roll(phase, int(np.sign(shift)), axis) - phase)


def _blur(rng: np.random.Generator, phases: FloatArray, slice_axis: int) -> None:
    """Resolution below that of the grid, in place."""
    plane = rng.uniform(0.0, 0.5)
    sigmas = [plane, plane, plane]
    sigmas[slice_axis] = rng.uniform(0.0, 0.75)
    for phase in phases:
        for axis, sigma in enumerate(sigmas):
            if sigma > 0.25:  # less does not reach the neighbouring voxel
                ndimage.gaussian_filter1d(phase, sigma, axis, output=phase, truncate=2.0)


def _add_noise(rng: np.random.Generator, phases: FloatArray) -> None:
    """Rician noise (Gudbjartsson and Patz 1995), in place."""
    sigma = np.float32(np.exp(rng.uniform(np.log(0.004), np.log(0.045))))
    for phase in phases:
        phase += sigma * rng.standard_normal(phase.shape, np.float32)
        np.hypot(phase, sigma * rng.standard_normal(phase.shape, np.float32), out=phase)


def _exported(rng: np.random.Generator, phases: FloatArray, slice_axis: int) -> FloatArray:
    """Scale, gains and rounding of scanner and export."""
    kind = rng.random()
    if kind < _RESCALED_BY_SLICE:
        return _rescaled(phases, tuple(a for a in range(1, 4) if a != slice_axis + 1))
    if kind < _RESCALED_BY_SLICE + _RESCALED_BY_PHASE:
        return _rescaled(phases, (1, 2, 3))
    if rng.random() < _WITH_PHASE_GAINS:
        phases *= np.exp(rng.normal(0, 0.15, (PHASES, 1, 1, 1))).astype(np.float32)
    if rng.random() < _WITHOUT_AIR:
        _clear_air(rng, phases)
    brightest = float(np.percentile(phases[:, ::3, ::3, ::3], 99.9))
    scale = np.exp(rng.uniform(np.log(80), np.log(30000))) / brightest
    scaled: FloatArray = np.rint(phases * np.float32(scale))
    return scaled


def _rescaled(phases: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """Lowest and highest value over the given axes become 0 and 4095."""
    low = phases.min(axis=axes, keepdims=True)
    spread = np.maximum(phases.max(axis=axes, keepdims=True) - low, 1e-6)
    scaled: FloatArray = np.rint((phases - low) * (np.float32(_LARGEST) / spread))
    return scaled


def _clear_air(rng: np.random.Generator, phases: FloatArray) -> None:
    """Set what is dark in all phases to 0, as some scanners do, in place."""
    mean = ndimage.uniform_filter(phases[REFERENCE_PHASE], 3)
    noise = float(np.percentile(mean, 8))
    phases *= mean > np.float32(noise * rng.uniform(1.3, 1.9))
