"""The wanted elements are those that pydicom reads; what is odd is left to pydicom."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from lab_side.imaging.read.elements import ElementReader
from tests.support.dicom.dicom_series import make_affine, make_instance

KEYWORDS = (
    "PatientName",
    "PatientID",
    "DeidentificationMethodCodeSequence",
    "SOPInstanceUID",
    "ImageType",
    "ImagePositionPatient",
    "PixelSpacing",
    "SliceThickness",
    "Rows",
    "BitsAllocated",
    "PixelData",
)

PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


def image(index: int = 0) -> Dataset:
    """With private elements, and sequences of defined and undefined length in each other."""
    pixels = np.arange(80, dtype=np.uint16).reshape(8, 10) + index
    dataset = make_instance(pixels, make_affine(), index, 5)
    dataset.SOPInstanceUID = pydicom.uid.UID(f"2.25.{index + 1}")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Müller^Jörg"
    dataset.SliceThickness = None
    block = dataset.private_block(0x0019, "SCANNER", create=True)
    block.add_new(1, "OB", bytes(1000))
    block.add_new(2, "UT", "text")
    outer, inner, code = Dataset(), Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "ä"
    inner.PurposeOfReferenceCodeSequence = [code]
    inner.PatientID = "not this one"
    outer.SourceImageSequence = [inner, inner]
    outer.is_undefined_length_sequence_item = True
    dataset.ReferencedImageSequence = [outer, Dataset(), inner]
    dataset.DeidentificationMethodCodeSequence = [code]
    return dataset


def undefined(dataset: Dataset) -> Dataset:
    """The sequences that are not wanted, without a length."""
    outermost = dataset["ReferencedImageSequence"]
    for element in (outermost, outermost.value[0]["SourceImageSequence"]):
        element.is_undefined_length = True
        assert isinstance(element.value, Sequence)
        element.value.is_undefined_length = True
    return dataset


def written(dataset: Dataset, syntax: pydicom.uid.UID = ExplicitVRLittleEndian) -> bytes:
    """The file's bytes."""
    buffer = BytesIO()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def by_pydicom(data: bytes) -> Dataset:
    """The same elements."""
    return pydicom.dcmread(BytesIO(data), specific_tags=list(KEYWORDS))


def assert_same(found: Dataset | None, expected: Dataset) -> None:
    """The same elements, with the same representations and values, and an own syntax."""
    assert found is not None
    assert [(e.tag, e.VR, e.value) for e in found] == [(e.tag, e.VR, e.value) for e in expected]
    assert found.file_meta.TransferSyntaxUID == expected.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("syntax", PLAIN)
def test_every_image_of_a_series_has_its_own_values(syntax: pydicom.uid.UID) -> None:
    reader = ElementReader(KEYWORDS)
    for index in range(4):
        dataset = image(index)
        if index == 2:
            dataset.PatientID, dataset.Rows = "another", 4
        data = written(undefined(dataset), syntax)
        found = reader.read(data)
        assert_same(found, by_pydicom(data))
        assert found is not None
        assert found.SOPInstanceUID == f"2.25.{index + 1}"


def test_another_character_set_is_another_text() -> None:
    reader = ElementReader(KEYWORDS)
    for characters, name in (("ISO_IR 192", "Müller"), ("ISO_IR 100", "Müller"), (None, "Muller")):
        dataset = image()
        del dataset.DeidentificationMethodCodeSequence, dataset.ReferencedImageSequence
        dataset.PatientName = name
        if characters is None:
            del dataset.SpecificCharacterSet
        else:
            dataset.SpecificCharacterSet = characters
        data = written(dataset)
        found = reader.read(data)
        assert_same(found, by_pydicom(data))
        assert found is not None
        assert str(found.PatientName) == name


def test_images_of_both_syntaxes_are_told_apart() -> None:
    reader = ElementReader(KEYWORDS)
    for syntax in (*PLAIN, *PLAIN):
        data = written(image(), syntax)
        assert_same(reader.read(data), by_pydicom(data))


@pytest.mark.parametrize("syntax", PLAIN)
def test_a_file_that_is_cut_off_is_left_to_pydicom(syntax: pydicom.uid.UID) -> None:
    whole = written(undefined(image()), syntax)
    ends = set()
    for size in range(len(whole)):
        found = ElementReader(KEYWORDS).read(whole[:size])
        if found is not None:
            # Cut between two elements: nothing tells.
            assert_same(found, by_pydicom(whole[:size]))
            ends.add(size)
    assert len(ends) < 60
    assert len(whole) > 2000


def test_what_is_compressed_swapped_or_not_dicom_is_left_to_pydicom() -> None:
    compressed = image()
    compressed.PixelData = encapsulate([b"1234"])
    compressed["PixelData"].is_undefined_length = True
    files = [
        written(compressed, RLELossless),
        written(image(), DeflatedExplicitVRLittleEndian),
        b"",
        b"GIF89a" + bytes(300),
        bytes(128) + b"DICM",
    ]
    swapped = image()
    buffer = BytesIO()
    swapped.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    pydicom.dcmwrite(buffer, swapped, little_endian=False, implicit_vr=False)
    for data in (*files, buffer.getvalue()):
        assert ElementReader(KEYWORDS).read(data) is None


@pytest.mark.parametrize(("right", "wrong"), [PLAIN, PLAIN[::-1]])
def test_a_wrong_syntax_is_left_to_pydicom(right: pydicom.uid.UID, wrong: pydicom.uid.UID) -> None:
    data, old, new = written(image(), right), _padded(right), _padded(wrong)
    at = data.index(old)
    renamed = data[: at - 2] + len(new).to_bytes(2, "little") + new + data[at + len(old) :]
    assert ElementReader(KEYWORDS).read(renamed) is None


def _padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)
