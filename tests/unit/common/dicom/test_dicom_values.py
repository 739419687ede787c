"""Numbers of headers: the right ones, or what is wrong with their form; never the value itself."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import DSfloat

from segrelay.dicom.values import (
    NUMBERS,
    WrongForm,
    WrongFormError,
    read_numbers,
    settle_number,
    settle_numbers,
)

TEXT = "holds text where a number belongs"

READ: dict[str, tuple[str, object, str | None, tuple[float, ...]]] = {
    "plain": ("PixelSpacing", b"0.5\\0.75 ", "DS", (0.5, 0.75)),
    "decimal comma": ("PixelSpacing", b"1,0\\1,0", "DS", (1.0, 1.0)),
    "decimal comma, no thousands": ("RescaleSlope", b"0,938", "DS", (0.938,)),
    "decimal comma, four digits before": ("RescaleSlope", b"1234,567", "DS", (1234.567,)),
    "comma that another value explains": (
        "ImagePositionPatient",
        b"-31,125\\17,5\\-40,250",
        "DS",
        (-31.125, 17.5, -40.25),
    ),
    "comma and exponent": ("RescaleSlope", b"1,25e-2", "DS", (0.0125,)),
    "too long for DS": (
        "RescaleSlope",
        b"0.99999999999999994444",
        "DS",
        (0.99999999999999994444,),
    ),
    "padded by zero": ("RescaleSlope", b"2\0", "DS", (2.0,)),
    "unlimited text": ("PixelSpacing", b"1.5\\2", "UT", (1.5, 2.0)),
    "unknown representation": ("PixelSpacing", b"1.5\\2", "UN", (1.5, 2.0)),
    "binary doubles": ("PixelSpacing", struct.pack("<2d", 1.5, 2), "FD", (1.5, 2.0)),
    "whole number with a point": ("NumberOfFrames", b"12.0", "IS", (12.0,)),
    "size as text": ("Rows", b"20", "IS", (20.0,)),
    "size of unknown representation": ("Rows", b"\x14\x00", "UN", (20.0,)),
    "size as a signed number": ("Rows", b"\x14\x00", "SS", (20.0,)),
    "Orthanc's text": ("ImagePositionPatient", "1\\2.5\\-3", None, (1.0, 2.5, -3.0)),
    "pydicom's values": ("PixelSpacing", [DSfloat("1.5"), "2,5"], None, (1.5, 2.5)),
    "empty": ("PixelSpacing", b"", "DS", ()),
    "blank": ("PixelSpacing", b"  ", "DS", ()),
    "none": ("PixelSpacing", None, None, ()),
    "as many as there are": ("WindowCenter", "40\\400\\1", None, (40.0, 400.0, 1.0)),
}

WRONG: dict[str, tuple[str, object, str | None, str]] = {
    "words": ("RescaleSlope", b"N/A", "DS", TEXT),
    "unit": ("PatientSize", b"1.62 m", "DS", TEXT),
    "ratio": ("LossyImageCompressionRatio", b"10:1", "DS", TEXT),
    "digits of another alphabet": ("RescaleSlope", "\uff11", None, TEXT),
    "beyond ASCII": ("PixelSpacing", b"\xb1\xe8", "UN", TEXT),
    "underscore": ("RescaleSlope", "1_0", None, TEXT),
    "comma between numbers": ("PixelSpacing", "0.5,0.5", None, TEXT),
    "endless": ("RescaleSlope", "1" * 70, None, TEXT),
    "thousands?": ("RescaleSlope", b"1,000", "DS", "holds a comma that can be read in two ways"),
    "one of two": ("PixelSpacing", b"1.0", "DS", "holds one number where two belong"),
    "two of one": ("RescaleSlope", b"1\\1", "DS", "holds two numbers where one belongs"),
    "two of three": ("ImagePositionPatient", "1\\2", None, "holds two numbers where three belong"),
    "many": ("PixelSpacing", "\\".join("1" * 9), None, "holds more numbers where two belong"),
    "a gap": ("PixelSpacing", b"1\\", "DS", "holds an empty value where a number belongs"),
    "not a number": ("RescaleSlope", "nan", None, "holds a number that is not finite"),
    "infinite": ("RescaleSlope", "-Infinity", None, "holds a number that is not finite"),
    "too large": ("RescaleSlope", "1e999", None, "holds a number that is not finite"),
    "binary NaN": (
        "EffectiveEchoTime",
        struct.pack("<d", math.nan),
        "FD",
        "holds a number that is not finite",
    ),
    "zero": ("PixelSpacing", "0\\1", None, "holds a number that is not above zero"),
    "far out": ("ImagePositionPatient", "1e30\\0\\0", None, "holds a number that is out of range"),
    "fraction": ("SeriesNumber", "3.5", None, "holds a fraction where a whole number belongs"),
    "21 digits": ("SeriesNumber", "456115117112105110101", None, "holds a number that is out of"),
    "below zero": ("HighBit", "-1", None, "holds a number that is out of range"),
    "odd bytes": ("Rows", b"\x14", "US", "holds bytes that are no number"),
    "a million separators": ("ImagePositionPatient", "\\" * 1_000_000, None, TEXT),
    "items": ("Rows", [Dataset()], None, "holds something else where a number belongs"),
}


@pytest.mark.parametrize("name", READ)
def test_what_can_be_read_is_read(name: str) -> None:
    keyword, value, vr, expected = READ[name]
    assert read_numbers(value, NUMBERS[keyword], vr) == expected


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_read_is_described(name: str) -> None:
    keyword, value, vr, form = WRONG[name]
    with pytest.raises(WrongFormError) as caught:
        read_numbers(value, NUMBERS[keyword], vr)
    assert caught.value.form.startswith(form)


VALUES = st.one_of(
    st.none(),
    st.binary(max_size=24),
    st.text(max_size=24),
    st.text("0123456789,.-+eE\\ ", max_size=24),
    st.text("0123456789,.-+eE\\ ", max_size=24).map(str.encode),
    st.floats(),
    st.integers(),
    st.lists(st.one_of(st.floats(), st.integers(), st.text(max_size=6)), max_size=7),
)


@given(
    st.sampled_from(sorted(NUMBERS)),
    VALUES,
    st.sampled_from([None, "DS", "IS", "UN", "UT", "US", "FD", "FL", "OB", "SL", "SQ", "AT", "PN"]),
)
def test_any_value_is_finite_numbers_or_a_form(keyword: str, value: object, vr: str | None) -> None:
    number = NUMBERS[keyword]
    form = "holds nothing wrong"
    found: tuple[float, ...] = ()
    try:
        found = read_numbers(value, number, vr)
    except WrongFormError as error:
        form = error.form
    # Nothing but the words of this module.
    assert form.startswith("holds ")
    assert form.replace(" ", "").isalpha()
    assert all(math.isfinite(item) for item in found)
    assert number.count is None or len(found) in (0, number.count)
    assert not number.is_positive or all(item > 0 for item in found)


@given(st.floats(-1e20, 1e20), st.integers(0, 8))
def test_a_decimal_comma_reads_as_a_decimal_point(number: float, digits: int) -> None:
    with_point = f"{number:.{digits}f}"
    pair = (with_point.replace(".", ","), "0,5")
    assert read_numbers("\\".join(pair), NUMBERS["WindowCenter"]) == (float(with_point), 0.5)


def raw(keyword: str, value: bytes, vr: str | None, *, is_little: bool = True) -> RawDataElement:
    return RawDataElement(Tag(keyword), vr, len(value), value, 0, vr is None, is_little)


def test_a_regular_element_stays_as_it_is() -> None:
    for element in (
        raw("PixelSpacing", b"0.50\\0.50", "DS"),
        raw("PixelSpacing", b"0.50\\0.50", None),
        raw("PixelSpacing", b"", "DS"),
        raw("Rows", b"\x14\x00", "US"),
        raw("PatientName", b"1,0", "PN"),
        DataElement(Tag("PixelSpacing"), "DS", ["1", "2"]),
    ):
        assert settle_number(element) is element


def test_an_odd_element_becomes_a_regular_one() -> None:
    spacing = settle_number(raw("PixelSpacing", b"0,123456789012345678\\1,5", "UT"))
    assert spacing.VR == "DS"
    assert isinstance(spacing, DataElement)
    assert [float(item) for item in spacing.value] == [0.123456789012345678, 1.5]
    assert all(len(str(item)) <= 16 for item in spacing.value)
    rows = settle_number(raw("Rows", b"20", "IS"))
    assert (rows.VR, rows.value) == ("US", 20)
    turned = settle_number(raw("Rows", b"\x00\x14", "UN", is_little=False))
    assert isinstance(turned, RawDataElement | DataElement)
    assert turned.value == 20
    for padding in (b"\0\0", b"  "):
        assert settle_number(raw("RescaleSlope", padding, "DS")).value is None
    slope = settle_number(raw("RescaleSlope", b"2,5", None))
    assert (slope.VR, slope.value) == ("DS", 2.5)


def test_a_wrong_element_knows_its_name_and_form_alone() -> None:
    dataset = Dataset({Tag("PixelSpacing"): raw("PixelSpacing", b"secret", "DS")})
    settle_numbers(dataset)
    assert dataset.get("PixelSpacing") == WrongForm("Pixel Spacing", TEXT)
    assert str(dataset.PixelSpacing) == "Pixel Spacing holds text where a number belongs"
    assert "secret" not in str(dataset)
    settle_numbers(dataset)
    assert dataset.get("PixelSpacing") == WrongForm("Pixel Spacing", TEXT)
