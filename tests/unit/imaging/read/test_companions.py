"""Objects without images beside the images of a series, and series without a frame of reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MRSpectroscopyStorage,
    RawDataStorage,
)

from lab_side.imaging.notices import input_warnings
from lab_side.imaging.read.consistency import check_together
from lab_side.imaging.read.series import read_series
from segrelay.dicom.companions import is_companion
from segrelay.errors import SeriesRefusedError
from tests.support.dicom.dicom_series import SERIES_UID, STUDY_UID, make_affine, write_series
from tests.support.dicom.imaging_cases import make_profile

VOXELS = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)


def write_companion(folder: Path, number: int, sop_class: str, **attributes: object) -> Path:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"2.25.77.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, SERIES_UID
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    path = folder / f"companion-{number}.dcm"
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    return path


def test_objects_without_images_are_left_out_and_counted(tmp_path: Path) -> None:
    images = write_series(tmp_path, VOXELS, make_affine())
    companions = [
        write_companion(tmp_path, 1, RawDataStorage, Modality="MR"),
        write_companion(tmp_path, 2, GrayscaleSoftcopyPresentationStateStorage, Modality="PR"),
        write_companion(tmp_path, 3, KeyObjectSelectionDocumentStorage, Modality="KO"),
        # Spectra have rows and columns, of voxels.
        write_companion(tmp_path, 4, MRSpectroscopyStorage, Modality="MR", Rows=1, Columns=1),
        # A vendor's own class.
        write_companion(tmp_path, 5, "1.3.12.2.1107.5.9.1", Modality="MR"),
    ]
    paths = [companions[0], *images, *companions[1:]]
    held = frozenset(
        str(pydicom.dcmread(path, force=True, stop_before_pixels=True).SOPInstanceUID)
        for path in paths
    )
    volume = read_series(paths, expected_sop_uids=held)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.companions == 5
    (said,) = input_warnings({"first": volume}, make_profile())
    assert said.text == "Objects without images in first were left out: 5."
    # They are part of what Orthanc lists.
    with pytest.raises(SeriesRefusedError) as caught:
        read_series(images, expected_sop_uids=held)
    assert caught.value.code == "series-incomplete"


def test_a_damaged_image_is_no_companion(tmp_path: Path) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        if index == 3:
            del dataset.PixelData

    with pytest.raises(SeriesRefusedError) as caught:
        read_series(write_series(tmp_path, VOXELS, make_affine(), edit=edit))
    assert caught.value.code == "missing-pixel-data"


def test_a_series_of_companions_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesRefusedError) as caught:
        read_series([write_companion(tmp_path, 1, RawDataStorage)])
    assert caught.value.code == "missing-pixel-data"


@pytest.mark.parametrize(
    ("attributes", "is_one"),
    [
        ({"SOPClassUID": str(RawDataStorage)}, True),
        ({"SOPClassUID": str(MRSpectroscopyStorage), "Rows": "1"}, True),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, False),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.1"}, False),
        ({"SOPClassUID": "1.2.3", "Rows": "256"}, False),
        ({"SOPClassUID": "1.2.3"}, True),
        ({}, True),
    ],
)
def test_companions_are_known_by_class_or_by_having_nothing_of_an_image(
    attributes: dict[str, str], is_one: bool
) -> None:
    assert is_companion(attributes) is is_one


def without_frame(dataset: Dataset, index: int) -> None:
    # Left out, or empty: the same.
    if index % 2:
        dataset.FrameOfReferenceUID = ""
    else:
        del dataset.FrameOfReferenceUID


def test_a_series_without_a_frame_of_reference_is_refused_with_the_reason(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOXELS, make_affine(), edit=without_frame)
    with pytest.raises(SeriesRefusedError, match="nothing says in which space") as caught:
        read_series(paths)
    assert caught.value.code == "no-frame-of-reference"
    assert "missing_frame_of_reference" in caught.value.remedy


def test_by_choice_it_is_a_frame_of_its_own_where_it_is_the_only_one(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOXELS, make_affine(), edit=without_frame)
    volume, again = (read_series(paths, is_own_frame=True) for _ in range(2))
    assert volume.frame_of_reference_uid == again.frame_of_reference_uid
    assert {h.FrameOfReferenceUID for h in volume.headers} == {volume.frame_of_reference_uid}
    check_together({"first": volume})
    assert any(
        item.code == "own-frame" for item in input_warnings({"first": volume}, make_profile())
    )
    other = replace(volume, series_uid="2.25.9", has_own_frame=False)
    with pytest.raises(SeriesRefusedError) as caught:
        check_together({"first": volume, "second": other}, is_registered=True)
    assert caught.value.code == "no-frame-of-reference"


def test_a_part_of_the_slices_without_one_is_still_refused(tmp_path: Path) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        if index == 2:
            del dataset.FrameOfReferenceUID

    paths = write_series(tmp_path, VOXELS, make_affine(), edit=edit)
    with pytest.raises(SeriesRefusedError) as caught:
        read_series(paths, is_own_frame=True)
    assert caught.value.code == "mixed-frame-of-reference"
