"""Outline of the chest and of one breast, as signed distances (mm, negative inside)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.phantom.fields import SmoothField
from infra.phantom.grid import FloatArray, Matrix


@dataclass(frozen=True)
class Chest:
    """The trunk: an elliptic cylinder along z whose front is at y = 0 in the middle.

    Attributes
    ----------
    half_width_mm, half_depth_mm:
        Semi-axes along x and y.
    """

    half_width_mm: float
    half_depth_mm: float

    def signed_distance(self, points: FloatArray) -> FloatArray:
        """(..., 3) LPS mm to (...) mm; right near the front, where it is used."""
        across = points[..., 0] / np.float32(self.half_width_mm)
        deep = points[..., 1] / np.float32(self.half_depth_mm) - np.float32(1)
        distance: FloatArray = (np.sqrt(across**2 + deep**2) - 1) * np.float32(self.half_depth_mm)
        return distance

    def front_y(self, x: float) -> float:
        """LPS y of the chest's front at x, in mm."""
        across = min(abs(x) / self.half_width_mm, 0.99)
        return self.half_depth_mm * (1 - float(np.sqrt(1 - across**2)))


@dataclass(frozen=True)
class Breast:
    """One breast hanging forwards (towards -y), prone as in a breast coil.

    Attributes
    ----------
    base:
        (3,) LPS mm, middle of the breast on the chest's front.
    half_width_mm, depth_mm, half_height_mm:
        Semi-axes along x, -y and z.
    droop:
        Shift of the tip towards the feet as a share of the depth.
    outline:
        Field that makes the outline uneven by a millimetre or two.
    """

    base: Matrix
    half_width_mm: float
    depth_mm: float
    half_height_mm: float
    droop: float
    outline: SmoothField

    def signed_distance(self, points: FloatArray) -> FloatArray:
        """(..., 3) LPS mm to (...) about mm."""
        q = self.relative(points)
        fullness = np.float32(2.3)  # 2 is an ellipsoid, more is boxier
        radius = (np.abs(q) ** fullness).sum(axis=-1) ** (1 / fullness)
        size = np.float32(min(self.half_width_mm, self.depth_mm, self.half_height_mm))
        distance: FloatArray = ((radius - 1) * size).astype(np.float32)
        near = np.abs(distance) < 15
        distance[near] += 1.2 * self.outline(points[near])
        return distance

    def relative(self, points: FloatArray) -> FloatArray:
        """Places as shares of the semi-axes: (sideways, towards the nipple, towards the head)."""
        x, y, z = (points[..., axis] - np.float32(self.base[axis]) for axis in range(3))
        forward = -y / np.float32(self.depth_mm)
        sunk = z + np.float32(self.droop * self.depth_mm) * np.clip(forward, 0, 1)
        relative: FloatArray = np.stack(
            [x / np.float32(self.half_width_mm), forward, sunk / np.float32(self.half_height_mm)],
            axis=-1,
        )
        return relative

    def place(self, sideways: float, forward: float, upward: float) -> Matrix:
        """LPS mm of a relative place; the inverse of :meth:`relative`."""
        sink = self.droop * self.depth_mm * min(max(forward, 0.0), 1.0)
        offset = [
            sideways * self.half_width_mm,
            -forward * self.depth_mm,
            upward * self.half_height_mm - sink,
        ]
        return np.asarray(self.base + np.array(offset), np.float64)


def blended(first: FloatArray, second: FloatArray, blend_mm: float) -> FloatArray:
    """Union of two bodies with a rounded crease (polynomial smooth minimum)."""
    blend = np.float32(blend_mm)
    mix = np.clip(0.5 + 0.5 * (second - first) / blend, 0, 1)
    union: FloatArray = second * (1 - mix) + first * mix - blend * mix * (1 - mix)
    return union
