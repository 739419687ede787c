"""Signal of every tissue before contrast and its enhancement at the times of the four phases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.phantom.grid import FloatArray
from infra.phantom.patient.tissues import Tissue

PHASES = 4

_WATER = 0.45  # usual T1-weighted signal of what is no fat; enhancements are shares of it

# Signal before contrast (lowest, highest); about 1 is fat that is not suppressed.
_BASE: dict[Tissue, tuple[float, float]] = {
    Tissue.SKIN: (0.35, 0.6),
    Tissue.NIPPLE: (0.35, 0.55),
    Tissue.MUSCLE: (0.28, 0.5),
    Tissue.CORTICAL_BONE: (0.02, 0.15),
    Tissue.LUNG: (0.02, 0.1),
    Tissue.MYOCARDIUM: (0.3, 0.5),
    Tissue.BLOOD: (0.15, 0.45),
    Tissue.LIVER: (0.45, 0.8),
    Tissue.SPLEEN: (0.25, 0.5),
    Tissue.STOMACH: (0.1, 0.8),
    Tissue.FLUID: (0.1, 0.3),
    Tissue.ARTERY: (0.3, 0.5),
    Tissue.VEIN: (0.3, 0.5),
    Tissue.CYST: (0.12, 0.4),
    Tissue.BLOOD_PRODUCT: (0.55, 1.1),
    Tissue.IMPLANT: (0.03, 0.7),
    Tissue.CLIP: (0.0, 0.05),
}

# Peak enhancement as a share of the signal of water, seconds to rise, seconds to fall.
_Range = tuple[float, float]
_UPTAKE: dict[Tissue, tuple[_Range, _Range, _Range]] = {
    Tissue.FAT: ((0.0, 0.06), (80, 200), (3000, 9000)),
    Tissue.SKIN: ((0.1, 0.9), (50, 200), (1500, 9000)),
    Tissue.NIPPLE: ((0.2, 1.8), (30, 200), (800, 9000)),
    Tissue.MUSCLE: ((0.05, 0.35), (40, 150), (1500, 9000)),
    Tissue.MARROW: ((0.02, 0.35), (40, 150), (1000, 9000)),
    Tissue.LUNG: ((0.02, 0.2), (10, 40), (500, 3000)),
    Tissue.MYOCARDIUM: ((0.7, 1.8), (15, 40), (500, 2000)),
    Tissue.BLOOD: ((1.5, 4.0), (5, 15), (200, 900)),
    Tissue.LIVER: ((0.3, 1.1), (40, 120), (800, 6000)),
    Tissue.SPLEEN: ((0.8, 2.2), (15, 40), (300, 1500)),
    Tissue.STOMACH: ((0.0, 0.8), (30, 120), (800, 6000)),
    Tissue.ARTERY: ((1.0, 2.8), (8, 25), (250, 1200)),
    Tissue.VEIN: ((0.6, 2.2), (20, 60), (400, 3000)),
    Tissue.NODE: ((0.6, 2.0), (20, 80), (300, 3000)),
    Tissue.CYST: ((0.0, 0.05), (100, 200), (3000, 9000)),
    Tissue.BLOOD_PRODUCT: ((0.0, 0.08), (100, 200), (3000, 9000)),
    Tissue.BENIGN: ((0.2, 1.1), (110, 400), (2500, 9000)),
    Tissue.BENIGN_OTHER: ((0.1, 0.9), (90, 400), (2500, 9000)),
    Tissue.FOCUS: ((0.4, 1.4), (60, 250), (1500, 9000)),
    Tissue.TUMOUR: ((0.7, 2.4), (20, 75), (350, 4000)),
    Tissue.NECROSIS: ((0.0, 0.35), (120, 400), (3000, 9000)),
    Tissue.SPICULE: ((0.4, 1.4), (25, 90), (400, 4000)),
}

_PARENCHYMA = ((0.0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1.0))
"""Peak enhancement of gland: minimal, mild, moderate, marked (ACR BI-RADS, MRI lexicon)."""

_FAT_SUPPRESSED = 0.75


@dataclass(frozen=True)
class Signals:
    """What each tissue shows, by its number.

    Attributes
    ----------
    base:
        (tissues,) float32 before contrast.
    enhancement:
        (4, tissues) float32 added at full uptake; the first row is 0.
    unsuppressed_fat:
        Signal of fat where its suppression fails.
    """

    base: FloatArray
    enhancement: FloatArray
    unsuppressed_fat: float


def random_signals(rng: np.random.Generator) -> Signals:
    """Draw sequence, times of the phases and the patient's enhancement."""
    suppressed = rng.random() < _FAT_SUPPRESSED
    full_fat = float(rng.uniform(0.7, 1.1))
    fat = float(rng.uniform(0.06, 0.35)) if suppressed else full_fat
    base = np.zeros(len(Tissue), np.float32)
    for tissue, (low, high) in _BASE.items():
        base[tissue] = rng.uniform(low, high)
    gland = rng.uniform(0.35, 0.6)
    base[Tissue.FAT] = fat
    base[Tissue.MARROW] = rng.uniform(0.5, 0.9) * fat + rng.uniform(0.05, 0.15)
    base[[Tissue.GLAND_RIGHT, Tissue.GLAND_LEFT]] = gland
    for tissue in (Tissue.BENIGN, Tissue.BENIGN_OTHER, Tissue.FOCUS, Tissue.NODE):
        base[tissue] = gland * rng.uniform(0.75, 1.15)
    tumour = gland * rng.uniform(0.75, 1.1)
    base[[Tissue.TUMOUR, Tissue.SPICULE, Tissue.SATELLITE]] = tumour
    base[Tissue.NECROSIS] = tumour * rng.uniform(0.65, 1.15)
    times = _phase_times(rng)
    return Signals(base, _enhancement(rng, times), full_fat)


def _phase_times(rng: np.random.Generator) -> FloatArray:
    """Seconds after injection of the phases after contrast, (3,)."""
    first = rng.uniform(25, 55) if rng.random() < 0.12 else rng.uniform(55, 165)
    between = rng.uniform(40, 170, 2) if rng.random() < 0.3 else np.full(2, rng.uniform(50, 130))
    times: FloatArray = (first + np.r_[0.0, np.cumsum(between)]).astype(np.float32)
    return times


def _enhancement(rng: np.random.Generator, times: FloatArray) -> FloatArray:
    strength = _WATER * float(np.exp(rng.normal(0, 0.25)))  # dose, relaxivity, flip angle
    added = np.zeros((PHASES, len(Tissue)), np.float32)
    for tissue, (peak, rise, fall) in _UPTAKE.items():
        added[1:, tissue] = rng.uniform(*peak) * _curve(
            times, rng.uniform(*rise), np.exp(rng.uniform(*np.log(fall)))
        )
    level = _PARENCHYMA[int(rng.choice(4, p=[0.35, 0.3, 0.22, 0.13]))]
    parenchyma = rng.uniform(*level) * _curve(times, rng.uniform(70, 350), rng.uniform(2e3, 9e3))
    added[1:, Tissue.GLAND_RIGHT] = parenchyma * rng.uniform(0.8, 1.2)
    added[1:, Tissue.GLAND_LEFT] = parenchyma * rng.uniform(0.8, 1.2)
    # A tumour that enhances no more than the gland around it cannot be outlined by anyone.
    least = 1.35 * parenchyma.max() + 0.3
    added[:, Tissue.TUMOUR] *= max(1.0, least / max(float(added[:, Tissue.TUMOUR].max()), 1e-3))
    added[:, Tissue.SATELLITE] = added[:, Tissue.TUMOUR] * rng.uniform(0.7, 1.05)
    scaled: FloatArray = added * np.float32(strength)
    return scaled


def _curve(times: FloatArray, rise_s: float, fall_s: float) -> FloatArray:
    """Uptake and washout over time, (3,) float32, about 1 at the peak."""
    long = np.linspace(5, 600, 60)
    peak = ((1 - np.exp(-long / rise_s)) * np.exp(-long / fall_s)).max()
    curve: FloatArray = ((1 - np.exp(-times / rise_s)) * np.exp(-times / fall_s) / peak).astype(
        np.float32
    )
    return curve
