"""The known truth of a phantom."""

from __future__ import annotations

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
