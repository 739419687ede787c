"""Stored values are those that were written, for every form of cell and codestream."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from infra.encodings.cases import CODED, NATIVE, encodings, make_files, true_values
from segrelay.dicom.transfer_syntaxes import syntax_name
from segrelay.errors import SeriesRefusedError
from segrelay.voxels.file_format import plain_file
from segrelay.voxels.stored import decode_stored

ROWS, COLUMNS = 6, 8


def image(
    *,
    syntax: UID = ExplicitVRLittleEndian,
    **attributes: Any,
) -> Dataset:
    """16 bits a cell, unsigned, one frame, as if parsed; ``attributes`` are put last."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0
    dataset.PixelData = np.arange(ROWS * COLUMNS).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def coded(codestream: bytes, syntax: UID, **attributes: Any) -> Dataset:
    return image(
        syntax=syntax, **{"PixelData": encapsulate([codestream or bytes(2)]), **attributes}
    )


def refusal(dataset: Dataset) -> str:
    with pytest.raises(SeriesRefusedError) as caught:
        decode_stored(dataset)
    return caught.value.code


@pytest.mark.parametrize("syntax", [*NATIVE, *CODED], ids=lambda syntax: syntax.name)
def test_every_encoding_of_the_table_is_read_voxel_for_voxel(syntax: UID) -> None:
    same = [encoding for encoding in encodings() if encoding.syntax == syntax]
    assert len(same) > 20
    for encoding in same:
        found = np.concatenate([decoded(data) for data in make_files(encoding)])
        assert (found.dtype.kind == "i") is encoding.is_signed
        np.testing.assert_array_equal(found, true_values(encoding), err_msg=encoding.name)


def decoded(data: bytes) -> NDArray[Any]:
    return decode_stored(pydicom.dcmread(BytesIO(plain_file(data)))).values


@st.composite
def forms(draw: st.DrawFn) -> tuple[int, int, int, bool]:
    allocated = draw(st.sampled_from([8, 16, 32]))
    stored = draw(st.integers(1, allocated))
    return allocated, stored, draw(st.integers(stored - 1, allocated - 1)), draw(st.booleans())


@settings(deadline=None)
@given(forms(), st.booleans(), st.data())
def test_a_voxel_is_the_stored_bits_of_its_cell_whatever_the_others_are(
    form: tuple[int, int, int, bool], is_big_endian: bool, data: st.DataObject
) -> None:
    allocated, stored, high_bit, is_signed = form
    cells = data.draw(st.lists(st.integers(0, 2**allocated - 1), min_size=4, max_size=4))
    # As PS3.5 8.1.1 describes it, one voxel after the other.
    wanted = [cell >> (high_bit + 1 - stored) & ((1 << stored) - 1) for cell in cells]
    if is_signed:
        wanted = [v - (1 << stored) if v >> (stored - 1) else v for v in wanted]
    syntax = ExplicitVRBigEndian if is_big_endian else ExplicitVRLittleEndian
    kind = f"{'>' if is_big_endian else '<'}u{allocated // 8}"
    dataset = image(
        syntax=syntax,
        Rows=2,
        Columns=2,
        BitsAllocated=allocated,
        BitsStored=stored,
        HighBit=high_bit,
        PixelRepresentation=int(is_signed),
        PixelData=np.array(cells, kind).tobytes(),
    )
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"
    assert decode_stored(dataset).values.ravel().tolist() == wanted


def test_bytes_in_words_of_big_endian_are_swapped_back() -> None:
    dataset = image(
        syntax=ExplicitVRBigEndian,
        Rows=1,
        Columns=3,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=bytes([2, 1, 0, 3]),
    )
    assert decode_stored(dataset).values.tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "pixel-depth"),
        ({"BitsAllocated": 12, "BitsStored": 12, "HighBit": 11}, "pixel-depth"),
        ({"BitsAllocated": 64, "BitsStored": 64, "HighBit": 63}, "pixel-depth"),
        ({"FloatPixelData": bytes(4)}, "pixel-depth"),
        ({"DoubleFloatPixelData": bytes(8)}, "pixel-depth"),
        ({"BitsAllocated": None}, "pixel-encoding"),
        ({"BitsStored": 17}, "pixel-encoding"),
        ({"BitsStored": 0}, "pixel-encoding"),
        ({"HighBit": 16}, "pixel-encoding"),
        ({"BitsStored": 12, "HighBit": 10}, "pixel-encoding"),
        ({"PixelRepresentation": 2}, "pixel-encoding"),
        ({"Rows": 0}, "unreadable-instance"),
        ({"Rows": None}, "pixel-encoding"),
        ({"NumberOfFrames": 2}, "unreadable-instance"),
        ({"NumberOfFrames": -1}, "unreadable-instance"),
        ({"Rows": 40_000, "Columns": 40_000}, "unreadable-instance"),
        ({"PixelData": b""}, "unreadable-instance"),
    ],
)
def test_a_form_that_is_not_read_or_contradicts_itself_is_refused(
    attributes: dict[str, Any], code: str
) -> None:
    assert refusal(image(**attributes)) == code


def test_what_is_missing_has_the_usual_value() -> None:
    plain = decode_stored(image()).values
    for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
        without: dict[str, Any] = {keyword: None}
        np.testing.assert_array_equal(decode_stored(image(**without)).values, plain)
    lone = image(BitsStored=12, HighBit=None)
    np.testing.assert_array_equal(decode_stored(lone).values, plain)


SAMPLES = (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) * 60).astype("u2")


def jpeg(**options: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(SAMPLES, lossless=True, bitspersample=12, **options))


def jpeg_2000(samples: NDArray[np.generic] = SAMPLES, **options: Any) -> bytes:
    how: dict[str, Any] = {"codecformat": "j2k", "reversible": True, "bitspersample": 12, **options}
    return bytes(imagecodecs.jpeg2k_encode(samples, **how))


@pytest.mark.parametrize("fragments", [1, 2, 5])
@pytest.mark.parametrize("has_table", [True, False])
def test_a_frame_may_lie_in_several_fragments(fragments: int, has_table: bool) -> None:
    both = encapsulate([jpeg(), jpeg()], fragments_per_frame=fragments, has_bot=has_table)
    dataset = image(syntax=JPEGLosslessSV1, NumberOfFrames=2, PixelData=both)
    np.testing.assert_array_equal(decode_stored(dataset).values, [SAMPLES, SAMPLES])


@pytest.mark.parametrize(
    ("codestream", "syntax"),
    [
        (jpeg(), JPEGLosslessSV1),
        (bytes(imagecodecs.jpegls_encode(SAMPLES)), JPEGLSLossless),
        (jpeg_2000(), JPEG2000Lossless),
    ],
)
def test_a_codestream_that_is_cut_off_is_never_half_an_image(
    codestream: bytes, syntax: UID
) -> None:
    np.testing.assert_array_equal(decode_stored(coded(codestream, syntax)).values[0], SAMPLES)
    for kept in (0, 3, len(codestream) // 2, len(codestream) - 20, len(codestream) - 3):
        assert refusal(coded(codestream[:kept], syntax)) == "compressed-unreadable"


@pytest.mark.parametrize(
    ("codestream", "syntax"),
    [
        (jpeg(), JPEGLosslessSV1),
        (bytes(imagecodecs.jpegls_encode(SAMPLES)), JPEGLSLossless),
        (jpeg_2000(), JPEG2000Lossless),
        (b"no codestream", JPEG2000Lossless),
        (b"", RLELossless),
    ],
)
@pytest.mark.parametrize("size", [{"Rows": ROWS + 1}, {"Columns": COLUMNS - 1}])
def test_a_codestream_of_another_size_than_the_image_is_refused(
    codestream: bytes, syntax: UID, size: dict[str, Any]
) -> None:
    assert refusal(coded(codestream, syntax, **size)) == "compressed-unreadable"


def test_another_number_of_frames_than_declared_is_refused() -> None:
    several = encapsulate([jpeg(), jpeg(), jpeg()])
    for count in (2, 4):
        dataset = image(syntax=JPEGLosslessSV1, NumberOfFrames=count, PixelData=several)
        assert refusal(dataset) == "compressed-unreadable"


def test_a_compressed_image_of_no_mr_size_is_refused_before_it_is_decoded() -> None:
    dataset = coded(jpeg(), JPEGLosslessSV1, Rows=40_000, Columns=40_000)
    assert refusal(dataset) == "image-too-large"


def test_another_transfer_syntax_is_refused_by_its_name() -> None:
    with pytest.raises(SeriesRefusedError, match="MPEG2 Main Profile") as caught:
        decode_stored(coded(b"", MPEG2MPML))
    assert caught.value.code == "compressed-unreadable"
    with pytest.raises(SeriesRefusedError, match=r"transfer syntax 1\.2\.3\.4"):
        decode_stored(coded(b"", UID("1.2.3.4")))
    assert syntax_name("Zebrafinch") == "an unknown transfer syntax"


def test_lossy_jpeg_of_8_and_12_bits_is_near_what_it_was() -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64))
    for syntax, bits, values in (
        (JPEGBaseline8Bit, 8, smooth.astype("u1")),
        (JPEGExtended12Bit, 12, (smooth * 30).astype("u2")),
    ):
        codestream = bytes(imagecodecs.jpeg8_encode(values, level=98, bitspersample=bits))
        dataset = coded(codestream, syntax, Rows=64, Columns=64, BitsStored=bits, HighBit=bits - 1)
        worst = np.abs(decode_stored(dataset).values[0].astype(int) - values).max()
        assert worst <= values.max() * 0.01


def test_signs_of_jpeg_2000_are_the_codestreams_or_the_headers() -> None:
    signed = SAMPLES.astype("i2") - 1500
    form = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1}
    for codestream in (jpeg_2000(signed), jpeg_2000(signed.view("u2") & np.uint16(0xFFF))):
        found = decode_stored(coded(codestream, JPEG2000Lossless, **form)).values[0]
        np.testing.assert_array_equal(found, signed)
    wide = {"BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1}
    found = decode_stored(coded(jpeg_2000(signed), JPEG2000Lossless, **wide)).values[0]
    np.testing.assert_array_equal(found, signed)


def test_a_sign_that_nothing_places_is_refused() -> None:
    form = {"BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1}
    in_a_byte = (SAMPLES // 16).astype("u1")
    for syntax, low, high in (
        (JPEG2000Lossless, jpeg_2000(SAMPLES // 2), jpeg_2000(SAMPLES)),
        (
            JPEGLSLossless,
            bytes(imagecodecs.jpegls_encode(in_a_byte // 2)),
            bytes(imagecodecs.jpegls_encode(in_a_byte)),
        ),
    ):
        assert decode_stored(coded(low, syntax, **form)).values.min() == 0
        assert refusal(coded(high, syntax, **form)) == "pixel-encoding"


def test_high_throughput_jpeg_2000_is_read() -> None:
    codestream = bytes(imagecodecs.htj2k_encode(SAMPLES))
    found = decode_stored(coded(codestream, HTJ2KLossless)).values[0]
    np.testing.assert_array_equal(found, SAMPLES)


@settings(deadline=None, max_examples=15)
@given(st.binary(max_size=400), st.integers(0, 2**16 - 1), st.integers(0, 255))
def test_damaged_codestreams_raise_nothing_else(junk: bytes, place: int, byte: int) -> None:
    for whole, syntax in ((jpeg(), JPEGLosslessSV1), (jpeg_2000(), JPEG2000Lossless)):
        damaged = bytearray(whole)
        damaged[place % len(whole)] = byte
        for codestream in (bytes(damaged), whole[:60] + junk, junk):
            try:
                decode_stored(coded(codestream, syntax))
            except SeriesRefusedError as error:
                assert error.code == "compressed-unreadable"  # noqa: PT017
