"""Signal of each tissue in the four phases: before contrast and three times after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PHASES = 4
Curve = npt.NDArray[np.float32]

# Shares of the peak enhancement in each phase (curve types of the ACR BI-RADS MRI lexicon).
_PERSISTENT = (0.0, 0.62, 0.84, 1.0)
_PLATEAU = (0.0, 0.95, 1.0, 0.98)
_WASHOUT = (0.0, 1.0, 0.9, 0.78)
_BLOOD = (0.0, 1.0, 0.82, 0.72)


@dataclass(frozen=True)
class Contrast:
    """Signal per phase of every tissue, each (4,) float32; 1.0 is about the brightest fat.

    ``gland_uptake`` is what gland adds at full uptake, apart from its baseline.
    """

    fat: Curve
    gland: Curve
    gland_uptake: Curve
    skin: Curve
    muscle: Curve
    blood: Curve
    vessel: Curve
    lung: Curve
    focus: Curve
    lesion: Curve
    core: Curve


def random_contrast(seed: int) -> Contrast:
    """Draw one scanner's and one patient's contrast behaviour."""
    rng = np.random.default_rng([seed, 2])
    fat_suppressed = rng.random() < 0.8
    fat = rng.uniform(0.16, 0.34) if fat_suppressed else rng.uniform(0.7, 0.9)
    gland = rng.uniform(0.42, 0.56)
    lesion = gland * rng.uniform(0.85, 1.0)
    curve = (_WASHOUT, _WASHOUT, _PLATEAU, _PERSISTENT)[int(rng.integers(4))]
    peak = rng.uniform(1.0, 1.8)
    uptake = gland * rng.uniform(0.03, 0.26) * np.asarray(_PERSISTENT, np.float32)
    return Contrast(
        fat=_enhanced(rng, fat, 0.03, _PERSISTENT),
        gland=_enhanced(rng, gland, 0.0, _PERSISTENT),
        gland_uptake=uptake.astype(np.float32),
        skin=_enhanced(rng, rng.uniform(0.38, 0.5), rng.uniform(0.1, 0.4), _PERSISTENT),
        muscle=_enhanced(rng, rng.uniform(0.38, 0.5), rng.uniform(0.05, 0.2), _PERSISTENT),
        blood=_enhanced(rng, rng.uniform(0.3, 0.42), rng.uniform(1.5, 2.4), _BLOOD),
        vessel=_enhanced(rng, rng.uniform(0.35, 0.45), rng.uniform(1.0, 1.9), _BLOOD),
        lung=_enhanced(rng, 0.06, 0.1, _PERSISTENT),
        focus=_enhanced(rng, gland, rng.uniform(0.5, 0.9), _PERSISTENT),
        lesion=_enhanced(rng, lesion, peak, curve),
        core=_enhanced(rng, lesion * rng.uniform(0.75, 1.0), rng.uniform(0.15, 0.45), _PERSISTENT),
    )


def _enhanced(
    rng: np.random.Generator, baseline: float, peak: float, curve: tuple[float, ...]
) -> Curve:
    """Baseline x (1 + peak x curve), with a little variation of the curve after contrast."""
    shares = np.asarray(curve) * np.r_[1.0, rng.uniform(0.95, 1.05, PHASES - 1)]
    signal: Curve = (baseline * (1 + peak * shares)).astype(np.float32)
    return signal
