"""The longest diameter of a segment: the greatest distance between two of its voxel centres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIGITS = 2
"""Of a diameter in millimetres, wherever it is written or shown."""

_PAIRS = 1024 * 1024
"""Compared at a time: 24 MiB of differences."""

_Corner = tuple[int, int]
"""Column, row."""


def outline_points(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners of the convex outline of each slice, [corners, 3] LPS millimetres.

    Both ends of the longest diameter are among them.

    Parameters
    ----------
    mask:
        [slices, rows, columns]
    affine:
        [4, 4] (column index, row index, slice index, 1) to LPS millimetres.
    """
    corners = [
        (column, row, index)
        for index in np.flatnonzero(mask.any(axis=(1, 2)))
        for column, row in _outline(mask[index])
    ]
    indices = np.array(corners, dtype=np.float64).reshape(-1, 3)
    points: NDArray[np.float64] = indices @ affine[:3, :3].T + affine[:3, 3]
    return points


def longest_diameter_mm(points: NDArray[np.float64]) -> float | None:
    """Greatest distance between two of the points, to :data:`DIGITS`; None where there is none.

    Parameters
    ----------
    points:
        [points, 3] millimetres: all voxel centres, or the corners of :func:`outline_points`.
    """
    if not len(points):
        return None
    ends = _far_points(points)
    longest = 0.0
    chunk = max(1, _PAIRS // len(ends))
    for start in range(0, len(ends), chunk):
        apart = ends[start : start + chunk, None] - ends[None, start:]
        longest = max(longest, float((apart**2).sum(axis=-1).max()))
    return round(float(np.sqrt(longest)), DIGITS)


def _far_points(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Those that may be an end: a pair is no longer than both distances to the middle."""
    far = np.linalg.norm(points - points.mean(axis=0), axis=1)
    first = points[far.argmax()]
    known = np.linalg.norm(points - first, axis=1).max()
    # A micrometre for rounding.
    ends: NDArray[np.float64] = points[far >= known - far.max() - 1e-3]
    return ends


def _outline(mask: NDArray[np.bool_]) -> list[_Corner]:
    """Corners of the convex hull of a slice (Andrew's monotone chain)."""
    rows = np.flatnonzero(mask.any(axis=1))
    lines = mask[rows]
    first = lines.argmax(axis=1)
    last = lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
    left = _half(list(zip(first.tolist(), rows.tolist(), strict=True)), side=1)
    right = _half(list(zip(last.tolist(), rows.tolist(), strict=True)), side=-1)
    return list(dict.fromkeys([*left, *right]))


def _half(points: list[_Corner], *, side: int) -> list[_Corner]:
    """The chain of points, by rising row, that bulges to the left (1) or to the right (-1)."""
    chain: list[_Corner] = []
    for point in points:
        while len(chain) > 1 and side * _turn(chain[-2], chain[-1], point) >= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(first: _Corner, second: _Corner, third: _Corner) -> int:
    return (second[0] - first[0]) * (third[1] - first[1]) - (second[1] - first[1]) * (
        third[0] - first[0]
    )
