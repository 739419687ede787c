"""How well a SEG agrees with the known truth of a phantom."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from infra.gates.gate import BoolArray, SourceGrid


def load_truth(path: Path, grid: SourceGrid) -> BoolArray:
    """Read ``truth.npz`` of a phantom and sort it like ``grid``.

    Returns
    -------
    numpy.ndarray
        bool, shape (slices, rows, columns).

    Raises
    ------
    ValueError
        The truth is that of another series.
    """
    with np.load(path) as archive:
        mask = archive["mask"].astype(bool)
        index = {str(uid): number for number, uid in enumerate(archive["sop_instance_uids"])}
    if set(index) != set(grid.uids) or mask.shape != grid.shape:
        raise ValueError("the truth is not of the series that the SEG refers to")
    ordered: BoolArray = mask[[index[uid] for uid in grid.uids]]
    return ordered


def union(masks: Iterable[BoolArray], grid: SourceGrid) -> BoolArray:
    """All segments as one mask, shape (slices, rows, columns)."""
    result = np.zeros(grid.shape, bool)
    for mask in masks:
        result |= mask
    return result


def dice(first: BoolArray, second: BoolArray) -> float:
    """Dice similarity coefficient (Dice 1945), 0..1; two empty masks agree: 1."""
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * int((first & second).sum()) / total
