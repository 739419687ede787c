"""A picture of a case: slices of the reference series, the result in red, the truth in green."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from lab_side.imaging.volume.grid import VolumeLike
from segrelay.errors import LocalDiskError

FOUND_COLOUR = (255, 64, 64)
TRUTH_COLOUR = (64, 220, 96)

TILE_WIDTH = 320
"""Pixels; the height follows from the true proportions of the slice."""

_TILES = 12
_COLUMNS = 4
_LINE_WIDTH = 2
_WINDOW_PERCENTILES = (1.0, 99.5)
_HEADER_HEIGHT = 30
_BACKGROUND = (16, 16, 16)
_TEXT_COLOUR = (235, 235, 235)


def write_montage(
    path: Path,
    reference: VolumeLike,
    found: NDArray[np.bool_],
    *,
    truth: NDArray[np.bool_] | None = None,
    title: str = "",
) -> None:
    """Write up to twelve slices side by side as a PNG.

    Parameters
    ----------
    found, truth:
        All segments as one mask, [slices, rows, columns]; no truth: none is known.
    title:
        First words of the caption.

    Raises
    ------
    LocalDiskError
        The disk refused the write.
    """
    window = np.percentile(reference.voxels, _WINDOW_PERCENTILES)
    size = tile_size(reference)
    tiles = {}
    for number in choose_slices(found if truth is None else found | truth):
        tile = grey_tile(reference.voxels[number], (float(window[0]), float(window[1])), size)
        if truth is not None:
            draw_outline(tile, truth[number], TRUTH_COLOUR)
        draw_outline(tile, found[number], FOUND_COLOUR)
        tiles[f"slice {number + 1} of {len(reference.voxels)}"] = tile
    try:
        _sheet(tiles, caption(title, found, truth)).save(path)
    except (OSError, ValueError):
        raise LocalDiskError(
            "The picture cannot be written.", remedy="Give another file with --montage."
        ) from None


def choose_slices(mask: NDArray[np.bool_], limit: int = _TILES) -> list[int]:
    """Indices of the mask's slices, or every index where it is empty.

    At most ``limit``, evenly spread, first and last included.
    """
    candidates = np.flatnonzero(mask.any(axis=(1, 2)))
    if candidates.size == 0:
        candidates = np.arange(mask.shape[0])
    picks = np.linspace(0, candidates.size - 1, min(limit, candidates.size)).round().astype(int)
    return [int(index) for index in candidates[picks]]


def caption(title: str, found: NDArray[np.bool_], truth: NDArray[np.bool_] | None) -> str:
    """What the picture shows, in one line."""
    words = ["red: segmentation" if found.any() else "nothing segmented"]
    if truth is not None:
        words.append("green: truth" if truth.any() else "truth: empty")
    return " | ".join([title, *words] if title else words)


def tile_size(reference: VolumeLike) -> tuple[int, int]:
    """(width, height) of one tile in pixels, in the true proportions of the slice."""
    across, down = np.linalg.norm(np.asarray(reference.affine)[:3, :2], axis=0)
    _, rows, columns = reference.voxels.shape
    return TILE_WIDTH, max(1, round(TILE_WIDTH * rows * down / (columns * across)))


def grey_tile(
    pixels: NDArray[np.float32], window: tuple[float, float], size: tuple[int, int]
) -> Image.Image:
    """One slice as an RGB image of ``size`` (width, height), ``window`` (low, high) as 0..255."""
    low, high = window
    scaled = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255
    grey = Image.fromarray(scaled.astype(np.uint8))
    return grey.resize(size, Image.Resampling.BILINEAR).convert("RGB")


def draw_outline(tile: Image.Image, mask: NDArray[Any], colour: tuple[int, int, int]) -> None:
    """Colour the inner rim of ``mask`` (rows, columns), scaled to the tile, in place."""
    scaled = Image.fromarray(mask.astype(np.uint8) * 255).resize(
        tile.size, Image.Resampling.NEAREST
    )
    inside = np.asarray(scaled) > 0
    rim = inside & ~ndimage.binary_erosion(inside, iterations=_LINE_WIDTH, border_value=0)
    tile.paste(colour, mask=Image.fromarray(rim.astype(np.uint8) * 255))


def _sheet(tiles: dict[str, Image.Image], header: str) -> Image.Image:
    """Tiles by label, in rows of four."""
    width, height = next(iter(tiles.values())).size
    columns = min(_COLUMNS, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * width, rows * height + _HEADER_HEIGHT), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((8, 7), header, fill=_TEXT_COLOUR, font=ImageFont.load_default(15))
    small = ImageFont.load_default(13)
    for number, (label, tile) in enumerate(tiles.items()):
        left = number % columns * width
        top = number // columns * height + _HEADER_HEIGHT
        sheet.paste(tile, (left, top))
        draw.text(
            (left + 6, top + 4), label, fill=_TEXT_COLOUR, font=small, stroke_width=1, stroke_fill=0
        )
    return sheet
