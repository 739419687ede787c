"""A picture for a person: slices of the reference series with the outline of the SEG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from infra.gates.gate import BoolArray, SourceGrid

FloatArray = npt.NDArray[np.float32]

SEG_COLOUR = (255, 64, 64)
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


def read_volume(grid: SourceGrid) -> FloatArray:
    """Stored pixel values, shape (slices, rows, columns), in the grid's slice order."""
    images = {path: pydicom.dcmread(path).pixel_array for path in set(grid.paths)}
    slices = [
        images[path] if frame is None else images[path].reshape(-1, *grid.shape[1:])[frame - 1]
        for path, (_, frame) in zip(grid.paths, grid.keys, strict=True)
    ]
    return np.stack(slices).astype(np.float32)


def write_montage(
    path: Path,
    grid: SourceGrid,
    mask: BoolArray,
    *,
    truth: BoolArray | None = None,
    title: str = "",
) -> None:
    """Write up to twelve slices side by side as a PNG.

    Parameters
    ----------
    path:
        File to write.
    grid:
        The reference series.
    mask:
        Shape (slices, rows, columns); outlined in red.
    truth:
        Same shape, outlined in green; None where no truth is known.
    title:
        First words of the caption.
    """
    shown = mask if truth is None else mask | truth
    slices = choose_slices(shown)
    volume = read_volume(grid)
    low, high = np.percentile(volume, _WINDOW_PERCENTILES)
    size = tile_size(grid)
    tiles = []
    for number in slices:
        tile = grey_tile(volume[number], (float(low), float(high)), size)
        if truth is not None:
            draw_outline(tile, truth[number], TRUTH_COLOUR)
        draw_outline(tile, mask[number], SEG_COLOUR)
        tiles.append(tile)
    labels = [f"slice {number + 1} of {len(volume)}" for number in slices]
    _sheet(tiles, labels, caption(title, mask, truth)).save(path)


def choose_slices(mask: BoolArray, limit: int = _TILES) -> list[int]:
    """Slice indices to show: those of the mask, or of the whole volume where it is empty.

    At most ``limit``, evenly spread, first and last included.
    """
    candidates = np.flatnonzero(mask.any(axis=(1, 2)))
    if candidates.size == 0:
        candidates = np.arange(mask.shape[0])
    picks = np.linspace(0, candidates.size - 1, min(limit, candidates.size)).round().astype(int)
    return [int(index) for index in candidates[picks]]


def caption(title: str, mask: BoolArray, truth: BoolArray | None) -> str:
    """What the picture shows, in one line."""
    words = ["red: segmentation" if mask.any() else "no tumour reported"]
    if truth is not None:
        words.append("green: truth" if truth.any() else "truth: no tumour")
    return " | ".join([title, *words] if title else words)


def tile_size(grid: SourceGrid) -> tuple[int, int]:
    """(width, height) of one tile in pixels, in the true proportions of the slice."""
    across, down, _ = grid.image.GetSpacing()
    _, rows, columns = grid.shape
    return TILE_WIDTH, max(1, round(TILE_WIDTH * rows * down / (columns * across)))


def grey_tile(
    pixels: npt.NDArray[np.float32], window: tuple[float, float], size: tuple[int, int]
) -> Image.Image:
    """One slice as an RGB image of ``size`` (width, height), ``window`` (low, high) as 0..255."""
    low, high = window
    scaled = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255
    grey = Image.fromarray(scaled.astype(np.uint8))
    return grey.resize(size, Image.Resampling.BILINEAR).convert("RGB")


def draw_outline(tile: Image.Image, mask: npt.NDArray[np.bool_], colour: Sequence[int]) -> None:
    """Colour the inner rim of ``mask`` (rows, columns), scaled to the tile, in place."""
    scaled = Image.fromarray(mask.astype(np.uint8) * 255).resize(
        tile.size, Image.Resampling.NEAREST
    )
    inside = np.asarray(scaled) > 0
    rim = inside & ~ndimage.binary_erosion(inside, iterations=_LINE_WIDTH, border_value=0)
    tile.paste(tuple(colour), mask=Image.fromarray(rim.astype(np.uint8) * 255))


def _sheet(tiles: Sequence[Image.Image], labels: Sequence[str], header: str) -> Image.Image:
    width, height = tiles[0].size
    columns = min(_COLUMNS, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * width, rows * height + _HEADER_HEIGHT), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((8, 7), header, fill=_TEXT_COLOUR, font=ImageFont.load_default(15))
    small = ImageFont.load_default(13)
    for number, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
        left = number % columns * width
        top = number // columns * height + _HEADER_HEIGHT
        sheet.paste(tile, (left, top))
        draw.text(
            (left + 6, top + 4), label, fill=_TEXT_COLOUR, font=small, stroke_width=1, stroke_fill=0
        )
    return sheet
