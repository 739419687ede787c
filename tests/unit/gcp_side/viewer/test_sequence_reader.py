"""Sequences read from their bytes: the same as pydicom's, however they were written."""

from __future__ import annotations

import contextlib
from io import BytesIO

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from gcp_side.labseg.dicom.segmentation import read_segmentation
from gcp_side.labseg.dicom.sequence_reader import (
    Wanted,
    decimals,
    identifier,
    items_of,
    unsigned_short,
)
from gcp_side.labseg.errors import SegmentationUnreadableError
from tests.unit.gcp_side.fakes import Grid, MadeFrame, as_file, seg_dataset

GRID = Grid(slices=6, rows=3, columns=5)
WANTED: Wanted = {
    "SegmentIdentificationSequence": {"ReferencedSegmentNumber": unsigned_short},
    "PlanePositionSequence": {"ImagePositionPatient": decimals},
    "DerivationImageSequence": {"SourceImageSequence": {"ReferencedSOPInstanceUID": identifier}},
}
FRAMES = [
    MadeFrame(segment=1 + index % 3, index=index, mask=np.ones((3, 5), bool)) for index in range(6)
]
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


def written(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def without_lengths(dataset: Dataset, *, outermost: bool) -> None:
    """End sequences and items with marks, as many tools do."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = outermost
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                without_lengths(item, outermost=True)


def expected() -> list[dict[str, object]]:
    return [
        {
            "SegmentIdentificationSequence": [{"ReferencedSegmentNumber": frame.segment}],
            "PlanePositionSequence": [{"ImagePositionPatient": GRID.position(frame.index)}],
            "DerivationImageSequence": [
                {"SourceImageSequence": [{"ReferencedSOPInstanceUID": GRID.sop_uid(frame.index)}]}
            ],
        }
        for frame in FRAMES
    ]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("marks", ["no marks", "marks within", "marks everywhere"])
def test_however_it_was_written(syntax: UID, marks: str) -> None:
    dataset = seg_dataset(GRID, FRAMES)
    if marks != "no marks":
        without_lengths(dataset, outermost=marks == "marks everywhere")
    if not syntax.is_little_endian:
        # The bits were packed for the other order.
        del dataset.PixelData
    found = pydicom.dcmread(BytesIO(written(dataset, syntax)))
    assert items_of(found, "PerFrameFunctionalGroupsSequence", WANTED) == expected()
    # What was read as a whole before answers the same.
    assert len(found.PerFrameFunctionalGroupsSequence) == len(FRAMES)
    assert items_of(found, "PerFrameFunctionalGroupsSequence", WANTED) == expected()


def test_what_is_absent_or_empty_has_no_key() -> None:
    dataset = seg_dataset(GRID, FRAMES[:1], sources=False)
    group = dataset.PerFrameFunctionalGroupsSequence[0]
    group.PlanePositionSequence[0].ImagePositionPatient = None
    group.SegmentIdentificationSequence = []
    found = pydicom.dcmread(BytesIO(written(dataset)))
    nothing: list[dict[str, object]] = [{"PlanePositionSequence": [{}]}]
    assert items_of(found, "PerFrameFunctionalGroupsSequence", WANTED) == nothing
    assert found.PerFrameFunctionalGroupsSequence
    assert items_of(found, "PerFrameFunctionalGroupsSequence", WANTED) == nothing
    assert items_of(found, "SourceImageSequence", WANTED) == []


FILE = as_file(seg_dataset(GRID, FRAMES))


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(at=st.integers(132, len(FILE) - 1), byte=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_a_spoilt_file_is_read_or_refused(at: int, byte: int) -> None:
    spoilt = bytearray(FILE)
    spoilt[at] = byte
    with contextlib.suppress(SegmentationUnreadableError):
        read_segmentation(bytes(spoilt))


@pytest.mark.parametrize("cut", [1, 7, 20])
def test_a_sequence_that_is_cut_off_is_refused(cut: int) -> None:
    found = pydicom.dcmread(BytesIO(FILE))
    raw = found.get_item("PerFrameFunctionalGroupsSequence")
    assert isinstance(raw, RawDataElement)
    assert isinstance(raw.value, bytes)
    dict.__setitem__(found._dict, raw.tag, raw._replace(value=raw.value[:-cut]))
    with pytest.raises(ValueError, match=r"longer than|cut off"):
        items_of(found, "PerFrameFunctionalGroupsSequence", WANTED)
