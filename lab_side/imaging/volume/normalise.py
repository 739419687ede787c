"""Intensity normalisation of one channel, or of several with common statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def normalise(channel: NDArray[np.float32], method: str) -> NDArray[np.float32]:
    """Normalise one channel, or several with common statistics.

    Parameters
    ----------
    channel:
        float32, any shape.
    method:
        ``zscore-nonzero``: mean 0 and standard deviation 1 (of the population) over the
        voxels that are not 0; zeros stay 0, since they are air or outside the field of view.
        The same as MONAI's ``NormalizeIntensity(nonzero=True)``. ``zscore``: the same over
        all voxels, as with ``nonzero=False``. ``none``: unchanged.

    Returns
    -------
    float32 of the same shape; the input is not changed.
    """
    if method == "none":
        return channel
    if method not in {"zscore-nonzero", "zscore"}:
        raise ValueError(f"unknown normalisation: {method}")
    inside = channel != 0 if method == "zscore-nonzero" else np.ones(channel.shape, dtype=bool)
    values = channel[inside].astype(np.float64)
    result = np.zeros_like(channel)
    if values.size:
        spread = float(values.std())
        result[inside] = (values - values.mean()) / (spread if spread > 0 else 1.0)
    return result
