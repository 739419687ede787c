"""Declared sizes and deflated bytes cost memory only within limits."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segrelay.errors import SeriesRefusedError
from segrelay.voxels.bounds import (
    FREELY_INFLATED_BYTES,
    check_decoded_size,
    check_pixel_bytes,
    inflate,
)


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def refused(code: str) -> pytest.RaisesExc[SeriesRefusedError]:
    return pytest.RaisesExc(SeriesRefusedError, check=lambda error: error.code == code)


@settings(deadline=None)
@given(st.binary(max_size=5000), st.binary(max_size=3))
def test_what_was_deflated_comes_back_whatever_stands_behind(data: bytes, behind: bytes) -> None:
    assert inflate(deflated(data) + behind) == data


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=500), st.data())
def test_a_stream_that_is_cut_off_is_refused(data: bytes, draw: st.DataObject) -> None:
    whole = deflated(data)
    cut = draw.draw(st.integers(0, len(whole) - 1))
    with refused("unreadable-instance"):
        inflate(whole[:cut])


def test_what_is_no_deflate_stream_is_refused() -> None:
    with refused("unreadable-instance"):
        inflate(b"\xff" * 100)


def test_a_bomb_is_refused_before_it_takes_memory() -> None:
    bomb = deflated(bytes(2 * FREELY_INFLATED_BYTES))
    tracemalloc.start()
    try:
        with refused("image-too-large"):
            inflate(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


def test_pixel_data_may_be_longer_than_declared_and_not_shorter() -> None:
    size = {"frames": 3, "rows": 5, "columns": 7, "bits": 16}
    assert check_pixel_bytes(210, **size) == 210
    assert check_pixel_bytes(211, **size) == 210
    with refused("unreadable-instance"):
        check_pixel_bytes(209, **size)


def test_single_bits_follow_each_other_over_frames() -> None:
    assert check_pixel_bytes(14, frames=3, rows=5, columns=7, bits=1) == 14
    with refused("unreadable-instance"):
        check_pixel_bytes(13, frames=3, rows=5, columns=7, bits=1)


@pytest.mark.parametrize("size", ["frames", "rows", "columns", "bits"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_size_that_is_not_positive_is_refused(size: str, value: int) -> None:
    sizes = {"frames": 1, "rows": 4, "columns": 4, "bits": 16, size: value}
    with refused("unreadable-instance"):
        check_pixel_bytes(1_000_000, **sizes)


@pytest.mark.parametrize(
    "sizes",
    [
        {"frames": 1, "rows": 40_000, "columns": 40_000, "bits": 8},
        {"frames": 1, "rows": 1, "columns": 65_535 * 65_535, "bits": 8},
        {"frames": 1_000_000, "rows": 512, "columns": 512, "bits": 16},
    ],
)
def test_compressed_images_of_no_mr_size_are_refused(sizes: dict[str, int]) -> None:
    with refused("image-too-large"):
        check_decoded_size(**sizes)


def test_compressed_images_of_mr_sizes_are_allowed() -> None:
    check_decoded_size(frames=1, rows=4096, columns=4096, bits=16)
    check_decoded_size(frames=1000, rows=512, columns=512, bits=16)
