"""The gate lets a right SEG through and stops each kind of wrong one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from infra.gates.gate import GateReport, check_seg, masks_by_dcmqi, read_grid
from tests.support.dicom.seg_study import SegStudy, example_mask, rewrite, write_seg_study

pytestmark = pytest.mark.process
"""The validators are programs."""


@pytest.fixture
def study(tmp_path: Path) -> SegStudy:
    return write_seg_study(tmp_path)


def failed(report: GateReport) -> set[str]:
    return {check.name for check in report.checks if not check.ok}


def frame_groups(dataset: Dataset) -> list[Dataset]:
    return list(dataset.PerFrameFunctionalGroupsSequence)


def test_a_right_seg_passes_every_check(study: SegStudy) -> None:
    report = check_seg(study.seg, study.sources, expected={1: study.mask})
    assert report.ok, report
    assert [check.name for check in report.checks] == [
        "dciodvfy",
        "dcentvfy",
        "references",
        "dcmqi",
        "expected mask",
    ]


def test_an_empty_seg_passes(tmp_path: Path) -> None:
    study = write_seg_study(tmp_path, mask=np.zeros_like(example_mask()))
    assert check_seg(study.seg, study.sources, expected={1: study.mask}).ok


def test_a_one_frame_seg_passes(tmp_path: Path) -> None:
    mask = np.zeros_like(example_mask())
    mask[4, 10:15, 20:23] = True
    study = write_seg_study(tmp_path, mask=mask)
    assert check_seg(study.seg, study.sources, expected={1: mask}).ok


def test_the_order_of_the_sources_does_not_matter(study: SegStudy) -> None:
    shuffled = [study.sources[index] for index in (3, 0, 9, 1, 8, 2, 7, 4, 6, 5)]
    masks = masks_by_dcmqi(study.seg, read_grid(shuffled))
    np.testing.assert_array_equal(masks[1], study.mask)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID", "PatientID"])
def test_a_foreign_identity_is_caught(study: SegStudy, keyword: str) -> None:
    rewrite(study.seg, lambda dataset: setattr(dataset, keyword, generate_uid()))
    report = check_seg(study.seg, study.sources)
    assert "references" in failed(report)
    assert any(keyword in check.detail for check in report.checks)


def test_a_frame_of_a_foreign_image_is_caught(study: SegStudy) -> None:
    def point_elsewhere(dataset: Dataset) -> None:
        source = frame_groups(dataset)[1].DerivationImageSequence[0].SourceImageSequence[0]
        source.ReferencedSOPInstanceUID = generate_uid()

    rewrite(study.seg, point_elsewhere)
    assert {"references", "dcmqi"} <= failed(check_seg(study.seg, study.sources))


def test_a_foreign_series_reference_is_caught(study: SegStudy) -> None:
    def name_a_stranger(dataset: Dataset) -> None:
        instances = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        instances[0].ReferencedSOPInstanceUID = generate_uid()

    rewrite(study.seg, name_a_stranger)
    assert failed(check_seg(study.seg, study.sources)) == {"references"}


def test_frames_paired_with_the_wrong_slices_are_caught(study: SegStudy) -> None:
    def reverse_the_references(dataset: Dataset) -> None:
        groups = frame_groups(dataset)
        references = [group.DerivationImageSequence for group in groups]
        for group, reference in zip(groups, reversed(references), strict=True):
            group.DerivationImageSequence = reference

    rewrite(study.seg, reverse_the_references)
    assert failed(check_seg(study.seg, study.sources)) == {"dcmqi"}


def test_positions_off_by_one_slice_are_caught(study: SegStudy) -> None:
    def move_up(dataset: Dataset) -> None:
        grid = read_grid(study.sources)
        first, second = (np.array(item.ImagePositionPatient, float) for item in grid.datasets[:2])
        for group in frame_groups(dataset):
            plane = group.PlanePositionSequence[0]
            moved = np.array(plane.ImagePositionPatient, float) + second - first
            plane.ImagePositionPatient = [f"{value:.6f}" for value in moved]

    rewrite(study.seg, move_up)
    assert "dcmqi" in failed(check_seg(study.seg, study.sources))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_shifted_by_one_voxel_is_not_the_expected_one(study: SegStudy, axis: int) -> None:
    shifted = np.roll(study.mask, 1, axis=axis)
    report = check_seg(study.seg, study.sources, expected={1: shifted})
    assert failed(report) == {"expected mask"}


def test_a_missing_required_attribute_is_caught(study: SegStudy) -> None:
    rewrite(study.seg, lambda dataset: delattr(dataset, "ContentLabel"))
    report = check_seg(study.seg, study.sources)
    assert failed(report) == {"dciodvfy"}
    assert "ContentLabel" in report.checks[0].detail


def test_a_seg_without_frame_groups_fails_instead_of_breaking_the_gate(study: SegStudy) -> None:
    rewrite(study.seg, lambda dataset: delattr(dataset, "PerFrameFunctionalGroupsSequence"))
    assert {"references", "dcmqi"} <= failed(check_seg(study.seg, study.sources))


def test_what_the_sources_disagree_about_is_not_held_against_the_seg(study: SegStudy) -> None:
    def set_study_time(dataset: Dataset) -> None:
        dataset.StudyTime = "235959"

    for number in (1, 4, 5):
        rewrite(study.sources[number], set_study_time)
    report = check_seg(study.seg, study.sources)
    assert report.ok
    assert "StudyTime" in report.checks[1].detail
    rewrite(study.seg, lambda dataset: setattr(dataset, "PatientSex", "M"))
    assert failed(check_seg(study.seg, study.sources)) == {"dcentvfy"}


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
def test_details_never_quote_a_patient(study: SegStudy) -> None:
    def rename(dataset: Dataset) -> None:
        dataset.PatientName, dataset.PatientID = "Secret^Name", "SECRET-ID"
        dataset.PatientBirthDate = "not a date"

    rewrite(study.seg, rename)
    report = check_seg(study.seg, study.sources)
    assert {"dcentvfy", "references"} <= failed(report)
    assert not any("SECRET" in check.detail.upper() for check in report.checks)
