"""The outline lies on the right pixels, and the right slices are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lab_side.evaluation.montage import (
    FOUND_COLOUR,
    TILE_WIDTH,
    TRUTH_COLOUR,
    caption,
    choose_slices,
    draw_outline,
    grey_tile,
    tile_size,
    write_montage,
)
from lab_side.imaging.read.series import read_series
from tests.support.dicom.seg_study import PIXEL_SPACING_MM, SHAPE, write_seg_study


def where(
    image: Image.Image, colour: tuple[int, int, int]
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.asarray((np.asarray(image) == colour).all(axis=-1))


def test_the_outline_is_the_rim_of_the_scaled_mask() -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:10, 12:18] = True
    tile = Image.new("RGB", (300, 200))
    draw_outline(tile, mask, FOUND_COLOUR)
    expected = np.zeros((200, 300), bool)
    expected[50:100, 120:180] = True
    expected[52:98, 122:178] = False
    np.testing.assert_array_equal(where(tile, FOUND_COLOUR), expected)


def test_an_empty_mask_draws_nothing() -> None:
    tile = Image.new("RGB", (30, 20))
    draw_outline(tile, np.zeros((20, 30), bool), FOUND_COLOUR)
    assert not np.asarray(tile).any()


def test_a_mask_at_the_border_has_its_outline_there() -> None:
    tile = Image.new("RGB", (30, 20))
    draw_outline(tile, np.ones((20, 30), bool), FOUND_COLOUR)
    drawn = where(tile, FOUND_COLOUR)
    assert drawn[0].all()
    assert drawn[:, -1].all()
    assert not drawn[2:-2, 2:-2].any()


def test_the_window_maps_low_to_black_and_high_to_white() -> None:
    pixels = np.array([[0.0, 100.0, 300.0]], np.float32)
    tile = np.asarray(grey_tile(pixels, (0.0, 200.0), (3, 1)))
    assert tile[0, :, 0].tolist() == [0, 127, 255]


@given(slices=st.integers(1, 200), first=st.integers(0, 199), count=st.integers(0, 200))
def test_chosen_slices_are_sorted_different_and_of_the_mask(
    slices: int, first: int, count: int
) -> None:
    mask = np.zeros((slices, 2, 2), bool)
    mask[first : first + count, 1, 0] = True
    chosen = choose_slices(mask)
    wanted = np.flatnonzero(mask.any(axis=(1, 2)))
    pool = wanted if wanted.size else np.arange(slices)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(pool.tolist())
    assert len(chosen) == min(12, pool.size)
    assert chosen[0] == pool[0]
    assert chosen[-1] == pool[-1] or len(chosen) == 1


def test_the_montage_shows_both_outlines_in_true_proportions(tmp_path: Path) -> None:
    study = write_seg_study(tmp_path)
    reference = read_series(study.sources)
    width, height = tile_size(reference)
    assert width == TILE_WIDTH
    true_ratio = SHAPE[1] * PIXEL_SPACING_MM[0] / (SHAPE[2] * PIXEL_SPACING_MM[1])
    assert height / width == pytest.approx(true_ratio, abs=1 / width)
    truth = np.roll(study.mask, 6, axis=2)
    write_montage(tmp_path / "montage.png", reference, study.mask, truth=truth)
    with Image.open(tmp_path / "montage.png") as image:
        drawn, expected = where(image, FOUND_COLOUR), where(image, TRUTH_COLOUR)
    assert drawn.any()
    assert expected.any()
    centre = np.argwhere(drawn)[:, 1].mean() - np.argwhere(expected)[:, 1].mean()
    assert centre < 0, "the truth was moved to the right"


def test_the_caption_says_what_was_found() -> None:
    nothing, something = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert caption("demo", nothing, None) == "demo | nothing segmented"
    assert caption("", something, something) == "red: segmentation | green: truth"
    assert caption("", nothing, nothing) == "nothing segmented | truth: empty"
