"""A picture of one case: slices of the reference series, found red, truth green."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from numpy.typing import NDArray
from scipy import ndimage

from lab_side.imaging.volume.grid import VolumeLike
from lab_side.imaging.volume.postprocess import Mask
from segrelay.errors import LocalDiskError

TILES = 12
COLUMNS = 4
TILE_WIDTH = 320
"""Pixels; the height follows from the true proportions of the slice."""

FOUND = (255, 64, 64)
TRUTH = (64, 220, 96)
WINDOW_PERCENTILES = (1.0, 99.5)
LINE_WIDTH = 2

Tile = NDArray[np.uint8]
"""[rows, columns, 3] RGB."""


def write_montage(
    path: Path, reference: VolumeLike, found: Sequence[Mask], truth: Sequence[Mask]
) -> None:
    """Write up to twelve slices as a PNG; all segments of each side as one outline.

    Raises
    ------
    LocalDiskError
        The disk refused the write.
    """
    ours, right = (np.any(np.stack(list(masks)), axis=0) for masks in (found, truth))
    low, high = (float(np.percentile(reference.voxels, share)) for share in WINDOW_PERCENTILES)
    size = _size(reference)
    tiles = []
    for number in choose_slices(ours | right):
        tile = _grey(reference.voxels[number], (low, high), size)
        _outline(tile, right[number], TRUTH)
        _outline(tile, ours[number], FOUND)
        tiles.append(tile)
    while len(tiles) % COLUMNS:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    try:
        sitk.WriteImage(sitk.GetImageFromArray(np.vstack(rows), isVector=True), str(path))
    except RuntimeError:
        raise LocalDiskError(
            "The picture cannot be written.", remedy="Give another file with --montage."
        ) from None


def choose_slices(mask: NDArray[np.bool_]) -> list[int]:
    """Those of the mask, or all where it is empty; evenly spread, at most TILES."""
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    if not len(slices):
        slices = np.arange(len(mask))
    picks = np.linspace(0, len(slices) - 1, min(TILES, len(slices))).round().astype(int)
    return [int(slices[index]) for index in picks]


def _size(reference: VolumeLike) -> tuple[int, int]:
    """Rows and columns of a tile in pixels."""
    across, down = np.linalg.norm(np.asarray(reference.affine)[:3, :2], axis=0)
    _, rows, columns = reference.voxels.shape
    return max(1, round(TILE_WIDTH * rows * down / (columns * across))), TILE_WIDTH


def _grey(pixels: NDArray[np.float32], window: tuple[float, float], size: tuple[int, int]) -> Tile:
    low, high = window
    scaled = np.clip((pixels.astype(np.float64) - low) / max(high - low, 1e-6), 0, 1) * 255
    grey = _resized(scaled, size, order=1).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _outline(tile: Tile, mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    inside = _resized(mask.astype(np.float64), tile.shape[:2], order=0) > 0
    tile[inside & ~ndimage.binary_erosion(inside, iterations=LINE_WIDTH)] = colour


def _resized(
    pixels: NDArray[np.float64], size: Sequence[int], *, order: Literal[0, 1]
) -> NDArray[np.float64]:
    """Nearest (0) or linear (1)."""
    places = [
        (np.arange(wanted) + 0.5) * given / wanted - 0.5
        for wanted, given in zip(size, pixels.shape, strict=True)
    ]
    grid = np.array(np.meshgrid(*places, indexing="ij"))
    return ndimage.map_coordinates(pixels, grid, order=order, mode="nearest")
