"""Padding is found whatever sign its value was written with, and nothing else is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from segrelay.errors import SeriesRefusedError
from segrelay.voxels.stored import decode_stored


def padded(
    values: list[int],
    padding: Any,
    limit: Any = None,
    *,
    stored: int = 16,
    allocated: int = 16,
    is_signed: bool = False,
    vr: str = "US",
) -> list[bool] | None:
    """Where these cells, one row of an image, are padding."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Rows, dataset.Columns = 1, len(values)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    dataset.PixelRepresentation = int(is_signed)
    kind = f"<{'i' if is_signed else 'u'}{allocated // 8}"
    dataset.PixelData = np.array(values, kind).tobytes()
    for tag, value in ((0x00280120, padding), (0x00280121, limit)):
        if value is not None:
            dataset.add_new(tag, vr, value)
    found = decode_stored(dataset).padded
    return None if found is None else found.ravel().tolist()


@pytest.mark.parametrize(
    ("padding", "vr"), [(-32768, "SS"), (32768, "US"), (b"\x00\x80", "OW"), (b"\x00\x80", "UN")]
)
def test_the_lowest_value_is_padding_with_either_sign(padding: Any, vr: str) -> None:
    found = padded([-32768, -32767, 0, 32767], padding, is_signed=True, vr=vr)
    assert found == [True, False, False, False]


def test_the_highest_value_is_padding_with_either_sign() -> None:
    for padding, vr in ((65535, "US"), (-1, "SS")):
        assert padded([65535, 65534, 0, 1], padding, vr=vr) == [True, False, False, False]


def test_twelve_bits_have_their_own_sign() -> None:
    for padding, vr in ((-2048, "SS"), (2048, "US"), (63488, "US")):
        found = padded([-2048, -2047, 0, 2047], padding, stored=12, is_signed=True, vr=vr)
        assert found == [True, False, False, False]


def test_padding_with_more_bits_than_a_voxel_has_is_no_tissue_of_the_same_low_bits() -> None:
    assert 63536 % 4096 == 2096
    assert padded([63536, 2096, 0], 63536, stored=12) == [True, False, False]
    assert padded([63536, 2096, 0], -2000, stored=12, vr="SS") == [True, False, False]


@pytest.mark.parametrize(("padding", "limit"), [(100, 200), (200, 100)])
def test_a_range_has_both_its_ends_whichever_is_written_first(padding: int, limit: int) -> None:
    values = [99, 100, 150, 200, 201]
    assert padded(values, padding, limit) == [False, True, True, True, False]


def test_zero_may_be_padding_and_tissue_beside_the_value_is_none() -> None:
    assert padded([0, 1, 2], 0) == [True, False, False]
    assert padded([0, 50, 51], 50) == [False, True, False]


def test_bytes_and_long_cells() -> None:
    assert padded([255, 0], 255, allocated=8, stored=8) == [True, False]
    assert padded([-32768, 0], -32768, allocated=32, stored=32, is_signed=True, vr="SS") == [
        True,
        False,
    ]


@pytest.mark.parametrize("padding", [None, 300])
def test_what_is_no_value_of_a_voxel_marks_nothing(padding: Any) -> None:
    found = padded([1, 2, 44], padding, allocated=8, stored=8)
    assert found is None or not any(found)


@pytest.mark.parametrize(("padding", "vr"), [("-32768", "DS"), ("-32768", "IS"), (-32768, "SL")])
def test_a_value_in_another_representation_is_read(padding: Any, vr: str) -> None:
    assert padded([-32768, 0], padding, is_signed=True, vr=vr) == [True, False]


@pytest.mark.parametrize(
    ("padding", "limit", "vr", "message"),
    [
        ([1, 2], None, "US", "Pixel Padding Value holds two numbers where one belongs."),
        ("none", None, "LO", "Pixel Padding Value holds text where a number belongs."),
        (b"\x01\xff\xff", None, "OB", "Pixel Padding Value holds text where a number belongs."),
        (1, [2, 3], "US", "Pixel Padding Range Limit holds two numbers where one belongs."),
    ],
)
def test_a_value_that_is_not_one_number_is_refused_by_name(
    padding: Any, limit: Any, vr: str, message: str
) -> None:
    with pytest.raises(SeriesRefusedError) as caught:
        padded([1, 2, 44], padding, limit, vr=vr)
    assert (caught.value.code, caught.value.message) == ("header-value", message)


def test_a_limit_without_a_value_marks_nothing() -> None:
    assert padded([1, 2], None, 2) is None


@settings(deadline=None)
@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=20),
    st.integers(-32768, 32767),
    st.integers(-32768, 32767),
)
def test_a_voxel_is_padding_exactly_within_the_range(
    values: list[int], padding: int, limit: int
) -> None:
    low, high = sorted((padding, limit))
    found = padded(values, padding, limit, is_signed=True, vr="SS")
    assert found == [low <= value <= high for value in values]
