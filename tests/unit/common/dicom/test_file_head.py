"""The attributes that are read from a file's head, against a library's writer."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from segrelay.dicom.file_head import FileHead, read_file_head


def file_of(uid: str, syntax: UID = ExplicitVRLittleEndian, private: bytes = b"") -> bytes:
    dataset = Dataset()
    dataset.SOPInstanceUID = uid
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    meta = dataset.file_meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    if private:
        meta.PrivateInformationCreatorUID = UID("1.2.3")
        meta.PrivateInformation = private
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("uid", ["1.2", "2.25.1", "1.2.3.4567", "2." + "9" * 62])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_the_uid_and_the_transfer_syntax_of_a_file(uid: str, syntax: UID) -> None:
    data = file_of(uid, syntax, private=b"\1" * 100)
    assert read_file_head(data) == FileHead(uid, syntax)


def test_a_head_that_is_too_short_has_none() -> None:
    data = file_of("1.2.3.4567")
    whole = data.index(b"1.2.3.4567") + 10
    assert {read_file_head(data[:end]) for end in range(whole)} == {FileHead()}
    assert read_file_head(data[:whole]) == FileHead("1.2.3.4567", None)


@given(st.binary(max_size=300), st.booleans())
def test_junk_has_none_or_a_text(junk: bytes, is_dicom: bool) -> None:
    head = b"\0" * 128 + b"DICM" + junk if is_dicom else junk
    found = read_file_head(head)
    assert found == FileHead() or is_dicom
