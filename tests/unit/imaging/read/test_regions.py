"""What contradicts a profile, and what is not for patients, is said in result, SEG and report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from lab_side.imaging.pipeline import CaseInput, CaseOutput, segment_case
from lab_side.imaging.read.series import read_series
from lab_side.imaging.write.seg import content_description
from segrelay.errors import SeriesRefusedError
from segrelay.profiles import Profile
from segrelay.result_notes import NOT_FOR_PATIENTS, TRAINED_ON_SYNTHETIC
from tests.support.dicom.dicom_series import make_affine, write_series
from tests.support.dicom.imaging_cases import CREATED_AT, make_origin, make_profile
from tests.support.networks.stand_in import stand_in

SHAPE = (8, 24, 20)
REFERENCE = make_affine("axial-head-to-foot", spacing=(1.0, 1.0, 2.0))
BODY_PART = "ATTENTION: Body Part Examined of first says brain, but the profile is for breast."


def segment(
    tmp_path: Path, profile: Profile, *confirmed: str, **attributes: str
) -> tuple[CaseOutput, Dataset, Dataset]:
    """Result, SEG and report of a case whose images have these attributes."""

    def edit(dataset: Dataset, _: int) -> None:
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)

    voxels = np.full(SHAPE, 20, np.uint16)
    voxels[3:6, 8:16, 6:14] = 200
    case = CaseInput(
        job_key="01HZXJOB",
        series={"first": write_series(tmp_path / "first", voxels, REFERENCE, edit=edit)},
        expected_sop_uids={},
        created_at=CREATED_AT,
        output=tmp_path / "seg.dcm",
        report_output=tmp_path / "sr.dcm",
        confirmed=confirmed,
    )
    output = segment_case(case, stand_in(profile), lambda *_: None)
    return output, pydicom.dcmread(case.output), pydicom.dcmread(tmp_path / "sr.dcm")


def changed(**changes: object) -> Profile:
    document = make_profile().model_dump() | {"schema_version": "1.1"} | changes
    return Profile.model_validate(document)


def texts(output: CaseOutput) -> tuple[str, ...]:
    return tuple(item.text for item in output.notices)


def test_an_ordinary_case_says_nothing_more(tmp_path: Path) -> None:
    output, seg, report = segment(tmp_path, make_profile(), BodyPartExamined="BREAST")
    assert output.notices == ()
    assert seg.ContentDescription == "AI result. NOT FOR CLINICAL USE"
    assert seg.SeriesDescription == "AI SEG (research): Lesion 1"
    assert report.SeriesDescription == "AI measurements (research)"


@pytest.mark.parametrize(
    ("attributes", "note"),
    [
        ({"BodyPartExamined": "BRAIN"}, BODY_PART),
        ({"StudyDescription": "Schädel"}, "ATTENTION: Study Description of first says head"),
        ({"SeriesDescription": "t1 brain"}, "ATTENTION: Series Description of first says brain"),
        ({"ProtocolName": "뇌"}, "ATTENTION: Protocol Name of first says brain"),
    ],
)
def test_an_older_site_asks_nobody_so_the_lab_says_it_first(
    tmp_path: Path, attributes: dict[str, str], note: str
) -> None:
    output, seg, report = segment(tmp_path, make_profile(), **attributes)
    assert output.notices[0].text.startswith(note)
    assert seg.ContentDescription.endswith("Input contradicts the profile")
    assert seg.SeriesDescription.startswith("INPUT CONTRADICTS PROFILE: AI SEG")
    assert report.SeriesDescription.startswith("INPUT CONTRADICTS PROFILE: AI measurements")


@pytest.mark.parametrize("codes", [("role-unsure",), ("role-unsure", "role-unrecognised")])
def test_a_doubt_that_was_confirmed_is_a_plain_warning(
    tmp_path: Path, codes: tuple[str, ...]
) -> None:
    output, seg, report = segment(tmp_path, make_profile(), *codes, BodyPartExamined="BREAST")
    assert texts(output) == (
        f"The series were not certain for every role; a person confirmed: {', '.join(codes)}.",
    )
    assert seg.ContentDescription == "AI result. NOT FOR CLINICAL USE"
    assert seg.SeriesDescription.startswith("AI SEG (research)")
    assert report.SeriesDescription == "AI measurements (research)"


@pytest.mark.parametrize("code", ["description-region", "weighting", "role-other", "laterality"])
def test_what_was_confirmed_is_kept(tmp_path: Path, code: str) -> None:
    output, seg, report = segment(
        tmp_path, make_profile(), "role-unsure", code, BodyPartExamined="BREAST"
    )
    assert texts(output) == (
        f"The input contradicts the profile; a person confirmed it: {code}.",
        "The series were not certain for every role; a person confirmed: role-unsure.",
    )
    assert "Input contradicts" in seg.ContentDescription
    assert "INPUT CONTRADICTS" in seg.SeriesDescription
    assert "INPUT CONTRADICTS" in report.SeriesDescription


def test_a_profile_that_is_not_for_patients_says_so_everywhere(tmp_path: Path) -> None:
    output, seg, report = segment(tmp_path, changed(for_patients=False))
    assert texts(output) == (NOT_FOR_PATIENTS,)
    assert seg.ContentDescription == "NOT FOR PATIENTS. AI result. NOT FOR CLINICAL USE"
    assert seg.SeriesDescription.startswith("NOT FOR PATIENTS: AI SEG (research)")
    assert report.SeriesDescription == "NOT FOR PATIENTS: AI measurements (research)"
    assert report.CompletionFlagDescription == seg.ContentDescription


def test_a_profile_that_learnt_from_synthetic_images_says_so_everywhere(tmp_path: Path) -> None:
    output, seg, report = segment(tmp_path, changed(trained_on_synthetic=True))
    assert texts(output) == (TRAINED_ON_SYNTHETIC,)
    assert seg.ContentDescription == "SYNTHETIC TRAINING. AI result. NOT FOR CLINICAL USE"
    assert seg.SeriesDescription.startswith("SYNTHETIC TRAINING: AI SEG (research)")
    assert report.SeriesDescription == "SYNTHETIC TRAINING: AI measurements (research)"


@pytest.mark.parametrize("for_patients", [True, False])
@pytest.mark.parametrize("confirmed", [(), ("body-part", "role-other")])
def test_descriptions_have_their_room_and_uids_stay(
    tmp_path: Path, for_patients: bool, confirmed: tuple[str, ...]
) -> None:
    plain, _, _ = segment(tmp_path / "plain", make_profile())
    profile = changed(for_patients=for_patients, trained_on_synthetic=True)
    output, seg, report = segment(tmp_path / "other", profile, *confirmed)
    for text in (seg.ContentDescription, seg.SeriesDescription, report.SeriesDescription):
        assert 0 < len(text) <= 64
        assert text.isascii()
    assert ("NOT FOR PATIENTS" in seg.ContentDescription) is not for_patients
    assert ("NOT FOR PATIENTS" in report.SeriesDescription) is not for_patients
    assert ("SYNTHETIC TRAINING" in seg.ContentDescription) is for_patients
    assert ("Input contradicts" in seg.ContentDescription) is bool(confirmed)
    assert output.sop_instance_uid == plain.sop_instance_uid
    assert output.report is not None
    assert plain.report is not None
    assert output.report.sop_instance_uid == plain.report.sop_instance_uid
    assert len(content_description(make_origin(profile))) <= 64


def test_a_profile_that_wants_it_fails_unless_a_person_confirmed(tmp_path: Path) -> None:
    strict = changed(role_checks="fail")
    with pytest.raises(SeriesRefusedError) as caught:
        segment(tmp_path / "a", strict, BodyPartExamined="BRAIN")
    assert (caught.value.code, caught.value.message) == ("role-mismatch", BODY_PART)
    with pytest.raises(SeriesRefusedError):
        segment(tmp_path / "b", strict, "role-unsure", BodyPartExamined="BRAIN")
    output, _, _ = segment(tmp_path / "c", strict, "body-part", BodyPartExamined="BRAIN")
    assert BODY_PART in texts(output)


def test_no_description_reaches_seg_or_report(tmp_path: Path) -> None:
    keywords = (
        "SeriesDescription",
        "ProtocolName",
        "RequestedProcedureDescription",
        "PerformedProcedureStepDescription",
    )
    segment(tmp_path, make_profile(), **dict.fromkeys(keywords, "SECRET brain"))
    for name in ("seg.dcm", "sr.dcm"):
        assert b"SECRET" not in (tmp_path / name).read_bytes()


def test_the_anatomic_region_is_read(tmp_path: Path) -> None:
    def edit(dataset: Dataset, _: int) -> None:
        dataset.AnatomicRegionSequence = [Dataset()]
        dataset.AnatomicRegionSequence[0].CodeMeaning = "Brain"

    voxels = np.full(SHAPE, 20, np.uint16)
    header = read_series(write_series(tmp_path, voxels, REFERENCE, edit=edit)).headers[0]
    assert header.AnatomicRegionSequence[0].CodeMeaning == "Brain"
