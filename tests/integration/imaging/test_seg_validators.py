"""Our SEG before the validators of dicom3tools, and on real studies."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from infra.gates.gate import check_seg
from lab_side.imaging.read.consistency import check_together
from lab_side.imaging.read.series import read_series
from lab_side.imaging.write.dicom_file import write_dataset
from lab_side.imaging.write.seg import build_seg
from tests.support.dicom.dicom3tools import dcentvfy, dciodvfy
from tests.support.dicom.dicom_series import Edit
from tests.support.dicom.gate_cases import (
    Made,
    empty_type_2,
    korean_name,
    make_case,
    masks,
    no_type_2,
    plain,
)
from tests.support.dicom.imaging_cases import (
    blob,
    make_origin,
    make_profile,
    read_with_dcmqi,
    real_study,
)


def complaints(path: Path, kind: str = "Segmentation") -> set[str]:
    """What dciodvfy says besides the kind of the object."""
    done = dciodvfy(path)
    lines = set((done.stdout + done.stderr).splitlines())
    assert kind in lines
    return lines - {kind}


def inherited(source: Path) -> set[str]:
    """Warnings about the patient and study of the source, which the SEG must share."""
    return {line for line in complaints(source, "MRImage") if line.startswith("Warning")}


def disagreements(files: list[Path], folder: Path) -> str:
    """What dcentvfy says about SEG and sources together: they must share their entities."""
    done = dcentvfy(files, folder / "files.txt")
    assert done.returncode == 0
    return done.stdout + done.stderr


ODD = [
    ("normal", korean_name),
    *((kind, edit) for kind in masks() for edit in (empty_type_2, no_type_2)),
]


FILLED = "Warning - Attribute present in one instance but not the other"
"""The SEG must have, empty, what the source has not at all."""


def judge(case: Made, segments: list[NDArray[np.uint8]]) -> set[str]:
    """Complaints of dciodvfy about the SEG; of all the other checks there must be none."""
    differs = disagreements([*case.grid, *case.others, case.seg], case.seg.parent)
    assert [line for line in differs.splitlines() if not line.startswith(FILLED)] == []
    expected = {number: mask.astype(bool) for number, mask in enumerate(segments, start=1)}
    gate = check_seg(case.seg, case.grid, other_sources=case.others, expected=expected)
    assert [check for check in gate.checks if not check.ok and check.name != "dciodvfy"] == []
    return complaints(case.seg)


@pytest.mark.parametrize("kind", masks())
def test_the_validators_have_nothing_to_say(tmp_path: Path, kind: str) -> None:
    case = make_case(tmp_path, masks()[kind], plain)
    assert judge(case, masks()[kind]) == set()
    assert disagreements([*case.grid, *case.others, case.seg], tmp_path) == ""


@pytest.mark.parametrize(("kind", "edit"), ODD)
def test_what_is_odd_about_the_source_is_the_only_complaint(
    tmp_path: Path, kind: str, edit: Edit
) -> None:
    case = make_case(tmp_path, masks()[kind], edit)
    assert judge(case, masks()[kind]) <= inherited(case.grid[0])


THREE = "three, one empty, overlapping"

ENHANCED = [("normal", ["grid"]), (THREE, ["grid", "others"]), ("normal", ["others"])]
ENHANCED += [("empty", ["grid", "others"])]


@pytest.mark.parametrize(("kind", "enhanced"), ENHANCED)
def test_sources_may_be_enhanced_multi_frame_images(
    tmp_path: Path, kind: str, enhanced: list[str]
) -> None:
    case = make_case(tmp_path, masks()[kind], korean_name, enhanced=enhanced)
    assert judge(case, masks()[kind]) == complaints(
        make_case(tmp_path / "classic", masks()[kind], korean_name).seg
    )


def test_the_gate_would_notice_a_wrong_frame(tmp_path: Path) -> None:
    case = make_case(tmp_path, masks()["normal"], plain, enhanced=["grid"])
    dataset = pydicom.dcmread(case.seg)
    groups = dataset.PerFrameFunctionalGroupsSequence
    images = [group.DerivationImageSequence[0].SourceImageSequence[0] for group in groups]
    images[0].ReferencedFrameNumber = images[0].ReferencedFrameNumber % 4 + 1
    write_dataset(dataset, case.seg)
    gate = check_seg(case.seg, case.grid, other_sources=case.others)
    assert [check.name for check in gate.checks if not check.ok] == ["dcmqi"]
    del images[0].ReferencedFrameNumber
    write_dataset(dataset, case.seg)
    gate = check_seg(case.seg, case.grid, other_sources=case.others)
    assert [check.name for check in gate.checks if not check.ok] == ["references", "dcmqi"]


def test_the_validators_would_notice_a_fault(tmp_path: Path) -> None:
    case = make_case(tmp_path, masks()["normal"], plain)
    dataset = pydicom.dcmread(case.seg)
    del dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    dataset.PatientID = "ANOTHER"
    write_dataset(dataset, case.seg)
    assert any("Error" in line for line in complaints(case.seg))
    done = dcentvfy([*case.grid, case.seg], tmp_path / "files.txt")
    assert "PatientID" in done.stdout + done.stderr


def real_series(name: str, folder: Path) -> dict[str, list[Path]]:
    """Folder name within the study to files."""
    with zipfile.ZipFile(real_study(name)) as archive:
        archive.extractall(folder)
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.setdefault(path.parent.name, []).append(path)
    return found


@pytest.mark.parametrize(
    ("study", "reference", "body_part"),
    [("breast-dce", "seq_1", "BREAST"), ("brain-glioma", None, "BRAIN")],
)
def test_a_mask_on_a_real_study_comes_back_exactly(
    tmp_path: Path, study: str, reference: str | None, body_part: str
) -> None:
    files = real_series(study, tmp_path / "study")
    assert len(files) == 4
    volumes = {name: read_series(paths) for name, paths in files.items()}
    check_together(volumes)
    chosen = volumes[reference or sorted(volumes)[0]]
    mask = blob(chosen.voxels.shape)
    seg = tmp_path / "seg.dcm"
    origin = make_origin(make_profile(body_part=body_part))
    write_dataset(build_seg([mask], chosen, list(volumes.values()), origin), seg)
    found = read_with_dcmqi(seg, chosen.voxels.shape, chosen.affine, tmp_path / "dcmqi")
    np.testing.assert_array_equal(found[1], mask)
    assert complaints(seg) <= inherited(next(iter(files.values()))[0])
