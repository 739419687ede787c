"""What a head consists of, and how bright that is in each sequence.

Numbers are signals as a share of white matter's in T1 and of fluid's in T2, read off published
images and textbooks of neuroradiology; each case draws its own about them.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float32]


class Tissue(IntEnum):
    """Index of a tissue's map."""

    FLUID = 0
    GREY = 1
    WHITE = 2
    VESSEL = 3
    DURA = 4
    CHOROID = 5
    BONE = 6
    FAT = 7
    WHITE_LESION = 8
    CAVITY = 9
    OEDEMA = 10
    SOLID = 11
    ENHANCING = 12
    NECROSIS = 13
    CYST = 14
    BLOOD = 15


CORE = (Tissue.SOLID, Tissue.ENHANCING, Tissue.NECROSIS, Tissue.CYST, Tissue.BLOOD)
"""The core of a glioma as the BraTS challenge counts it; with oedema it is the whole tumour."""

SEQUENCES = ("t1c", "t1", "t2", "flair")

# Lowest and highest in T1 before contrast, enhancement in T1, T2, FLAIR.
_RANGES: dict[Tissue, tuple[tuple[float, float], ...]] = {
    Tissue.FLUID: ((0.15, 0.42), (0.0, 0.02), (0.9, 1.1), (0.05, 0.3)),
    Tissue.GREY: ((0.66, 0.88), (0.01, 0.06), (0.42, 0.62), (0.58, 0.78)),
    Tissue.WHITE: ((0.97, 1.03), (0.0, 0.03), (0.28, 0.45), (0.45, 0.62)),
    Tissue.VESSEL: ((0.2, 1.1), (0.3, 1.6), (0.05, 0.5), (0.1, 0.6)),
    Tissue.DURA: ((0.4, 0.8), (0.1, 0.9), (0.15, 0.45), (0.3, 0.7)),
    Tissue.CHOROID: ((0.5, 0.85), (0.2, 1.1), (0.5, 0.95), (0.5, 0.95)),
    Tissue.BONE: ((0.05, 0.5), (0.0, 0.15), (0.03, 0.35), (0.05, 0.4)),
    Tissue.FAT: ((0.8, 2.0), (0.0, 0.2), (0.3, 1.0), (0.4, 1.2)),
    Tissue.WHITE_LESION: ((0.7, 0.95), (0.0, 0.03), (0.5, 0.85), (0.75, 1.15)),
    Tissue.CAVITY: ((0.15, 0.5), (0.0, 0.05), (0.85, 1.15), (0.05, 0.4)),
    Tissue.OEDEMA: ((0.6, 0.92), (0.0, 0.04), (0.55, 0.95), (0.8, 1.25)),
    Tissue.SOLID: ((0.5, 0.9), (0.0, 0.08), (0.55, 1.0), (0.72, 1.3)),
    Tissue.ENHANCING: ((0.55, 0.92), (0.3, 1.4), (0.4, 0.9), (0.65, 1.15)),
    Tissue.NECROSIS: ((0.3, 0.72), (0.0, 0.12), (0.55, 1.15), (0.3, 1.1)),
    Tissue.CYST: ((0.2, 0.6), (0.0, 0.05), (0.85, 1.15), (0.12, 0.85)),
    Tissue.BLOOD: ((0.6, 1.7), (0.0, 0.1), (0.1, 1.0), (0.2, 1.3)),
}
_WIDER = 0.35
_MISMATCH_SHARE = 0.1
_OTHER_T1_SHARE = 0.45


def random_tables(rng: np.random.Generator) -> Table:
    """[4 sequences, 16 tissues] float32: the signals of one case.

    One case in two keeps to the ranges of the table, the other leaves them by up to a third.
    """
    ranges = np.array([_RANGES[tissue] for tissue in Tissue])  # [tissue, column, low/high]
    extra = rng.uniform(0, _WIDER) if rng.random() < 0.5 else 0.0
    middle, half = ranges.mean(axis=2), np.diff(ranges, axis=2)[..., 0] / 2
    half = half + extra * (half + 0.12 * middle)
    half[:, 1] = np.minimum(half[:, 1], middle[:, 1] * 0.9)
    before, uptake, t2, flair = (middle + half * rng.uniform(-1, 1, middle.shape)).T
    after = before
    if rng.random() < _OTHER_T1_SHARE:
        # T1 after contrast is often another sequence than the one before it.
        other = (middle + half * rng.uniform(-1, 1, middle.shape)).T[0]
        after = before + rng.uniform(0.3, 1.0) * (other - before)
    uptake = uptake * rng.uniform(0.6, 1.3)
    flair = _kept_in_order(rng, flair)
    t2 = _kept_bright(t2)
    tables = np.stack([after + uptake, before, t2, flair])
    kept: Table = np.maximum(tables, 0.02).astype(np.float32)
    return kept


def _kept_in_order(rng: np.random.Generator, flair: npt.NDArray[np.float64]) -> Table:
    """Oedema and most tumour outshine the brain in FLAIR; some tumours hardly do, in their core."""
    brain = max(flair[Tissue.GREY], flair[Tissue.WHITE])
    flair[Tissue.OEDEMA] = max(flair[Tissue.OEDEMA], brain * rng.uniform(1.1, 1.4))
    flair[Tissue.WHITE_LESION] = max(flair[Tissue.WHITE_LESION], brain * rng.uniform(1.05, 1.3))
    if rng.random() < _MISMATCH_SHARE:
        # The T2-FLAIR mismatch of astrocytomas (Patel et al. 2017).
        flair[Tissue.SOLID] = rng.uniform(0.6, 1.0) * brain
    else:
        flair[Tissue.SOLID] = max(flair[Tissue.SOLID], brain * rng.uniform(1.05, 1.4))
    return flair.astype(np.float32)


def _kept_bright(t2: npt.NDArray[np.float64]) -> Table:
    brain = max(t2[Tissue.GREY], t2[Tissue.WHITE])
    for tissue in (Tissue.OEDEMA, Tissue.SOLID):
        t2[tissue] = max(t2[tissue], 1.12 * brain)
    return t2.astype(np.float32)
