"""Smooth random fields that are functions of a place in the patient, not of a grid."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from infra.phantom.grid import FloatArray

_LATTICE = 48  # knots per axis; the field repeats after 16 times its scale
_REACH = 1 / 3  # distance of two knots as a share of the field's scale
_SMOOTHING = 1.6  # knots; wide enough that linear interpolation shows no facets


class SmoothField:
    """A zero-mean, unit-variance random field over patient space.

    Parameters
    ----------
    rng:
        Source of the knots; the same state gives the same field on every grid.
    scale_mm:
        Size of the blobs in mm.
    """

    def __init__(self, rng: np.random.Generator, scale_mm: float) -> None:
        knots = rng.standard_normal((_LATTICE,) * 3).astype(np.float32)
        smooth: FloatArray = ndimage.gaussian_filter(knots, _SMOOTHING, mode="wrap")
        self._knots: FloatArray = (smooth - smooth.mean()) / smooth.std()
        self._step_mm = scale_mm * _REACH

    def __call__(self, points: FloatArray) -> FloatArray:
        """Evaluate at (..., 3) LPS mm; returns (...) float32."""
        index = np.moveaxis(points, -1, 0) / np.float32(self._step_mm)
        value: FloatArray = ndimage.map_coordinates(self._knots, index, order=1, mode="grid-wrap")
        return value


def soft_inside(signed_distance: FloatArray, edge_mm: float) -> FloatArray:
    """Share of a voxel inside a surface: 1 deep inside, 0 outside, 0.5 on it.

    ``signed_distance`` is in mm, negative inside; ``edge_mm`` is the width of the ramp.
    """
    share: FloatArray = np.clip(0.5 - signed_distance / np.float32(edge_mm), 0, 1)
    return share
