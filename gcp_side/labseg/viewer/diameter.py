"""The longest diameter of a mask, with numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PAIRS = 1024 * 1024
"""Compared at a time: 24 MiB of differences."""


def longest_diameter_mm(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> float | None:
    """Greatest distance between two voxel centres; None for an empty mask.

    Both ends are corners of the convex outline of their own slice, so only those are compared.

    Parameters
    ----------
    mask:
        [slices, rows, columns]
    affine:
        [4, 4] (column, row, slice, 1) to LPS millimetres.
    """
    corners = [
        (column, row, index)
        for index in np.flatnonzero(mask.any(axis=(1, 2)))
        for column, row in _outline(mask[index])
    ]
    if not corners:
        return None
    points = np.array(corners, dtype=np.float64) @ affine[:3, :3].T
    longest = 0.0
    chunk = max(1, _PAIRS // len(points))
    for start in range(0, len(points), chunk):
        apart = points[start : start + chunk, None] - points[None, start:]
        longest = max(longest, float((apart**2).sum(axis=-1).max()))
    return float(np.sqrt(longest))


def _outline(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Corners (column, row) of the convex hull of a slice (Andrew's monotone chain)."""
    rows = np.flatnonzero(mask.any(axis=1))
    lines = mask[rows]
    first = lines.argmax(axis=1)
    last = lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
    left = _half([(int(c), int(r)) for c, r in zip(first, rows, strict=True)], side=1)
    right = _half([(int(c), int(r)) for c, r in zip(last, rows, strict=True)], side=-1)
    return list(dict.fromkeys([*left, *right]))


def _half(points: list[tuple[int, int]], *, side: int) -> list[tuple[int, int]]:
    """The chain of points, by rising row, that bulges to the left (1) or to the right (-1)."""
    chain: list[tuple[int, int]] = []
    for point in points:
        while len(chain) > 1 and side * _turn(chain[-2], chain[-1], point) >= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(first: tuple[int, int], second: tuple[int, int], third: tuple[int, int]) -> int:
    return (second[0] - first[0]) * (third[1] - first[1]) - (second[1] - first[1]) * (
        third[0] - first[0]
    )
