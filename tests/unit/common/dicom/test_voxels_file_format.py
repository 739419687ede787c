"""Files in old and odd forms are read as what they hold."""

from __future__ import annotations

import zlib
from io import BytesIO

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from segrelay.errors import SeriesRefusedError
from segrelay.voxels.file_format import plain_file
from tests.support.dicom.dicom_series import make_affine, make_instance

PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def written(syntax: UID = ExplicitVRLittleEndian) -> bytes:
    instance = make_instance(PIXELS, make_affine(), 0, 1)
    instance.file_meta.TransferSyntaxUID = syntax
    instance.SOPInstanceUID = "2.25.7"
    instance.file_meta.MediaStorageSOPInstanceUID = UID("2.25.7")
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    if not syntax.is_little_endian:
        instance.PixelData = PIXELS.astype(">u2").tobytes()
    out = BytesIO()
    pydicom.dcmwrite(
        out,
        instance,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=True,
    )
    return out.getvalue()


def shown(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(plain_file(data)))


def dataset_of(data: bytes) -> bytes:
    """What is behind the File Meta Information."""
    length = int.from_bytes(data[140:144], "little")
    return data[144 + length :]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("left_out", [0, 128, 132])
def test_a_file_is_read_with_and_without_its_preamble(syntax: UID, left_out: int) -> None:
    instance = shown(written(syntax)[left_out:])
    assert instance.SOPInstanceUID == "2.25.7"
    np.testing.assert_array_equal(instance.pixel_array, PIXELS)


@pytest.mark.parametrize("syntax", SYNTAXES[:3], ids=lambda syntax: syntax.name)
def test_a_dataset_alone_is_read_by_the_form_of_its_first_element(syntax: UID) -> None:
    instance = shown(dataset_of(written(syntax)))
    assert instance.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(instance.pixel_array, PIXELS)


def test_a_plain_file_keeps_its_dataset_byte_for_byte() -> None:
    data = written()
    assert plain_file(data).endswith(dataset_of(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"DICM",
        b"\x08\x00",
        b"\x02\x00\x10\x00UI",
        b"<html><body>no image</body></html>",
        b"\x08\x00\x05\x00\xff\xff\xff\xff" + bytes(100),
        bytes(128) + b"DICM",
        bytes(1000),
    ],
)
def test_what_is_no_dicom_file_is_refused(data: bytes) -> None:
    with pytest.raises(SeriesRefusedError) as caught:
        plain_file(data)
    assert caught.value.code == "unreadable-instance"


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 132), st.booleans())
def test_no_bytes_raise_anything_else(tail: bytes, cut: int, is_headed: bool) -> None:
    data = written()[: 132 + cut] + tail if is_headed else tail
    try:
        assert plain_file(data)[128:132] == b"DICM"
    except SeriesRefusedError as error:
        assert error.code in {"unreadable-instance", "image-too-large"}  # noqa: PT017


def test_a_deflated_bomb_is_refused() -> None:
    data = written(DeflatedExplicitVRLittleEndian)
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = stream.compress(bytes(100 * 1024 * 1024)) + stream.flush()
    head = data[: len(data) - len(dataset_of(data))]
    with pytest.raises(SeriesRefusedError) as caught:
        plain_file(head + bomb)
    assert caught.value.code == "image-too-large"
