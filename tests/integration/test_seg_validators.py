"""Our SEG before the validators of dicom3tools, and on real studies."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from lab_side.imaging.seg import build_seg
from lab_side.imaging.series import SeriesVolume, read_series
from lab_side.imaging.store import write_dataset
from lab_side.imaging.together import check_together
from tests.support.dicom3tools import dcentvfy, dciodvfy
from tests.support.dicom_series import Edit, make_affine, rotation, write_series
from tests.support.imaging_cases import (
    blob,
    make_origin,
    make_profile,
    read_with_dcmqi,
    real_study,
)

SHAPE = (8, 24, 18)
OBLIQUE = make_affine("sagittal", tilt=rotation(11, -6, 4))


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


def clean(dataset: Dataset, _: int) -> None:
    # A breast phantom is no paired body part of its own; an empty value would be a warning.
    del dataset.Laterality


def without_type_2(dataset: Dataset, index: int) -> None:
    clean(dataset, index)
    for keyword in ("StudyID", "AccessionNumber", "StudyTime", "PatientBirthDate", "PatientSex"):
        setattr(dataset, keyword, "")
    del dataset.SliceThickness


def two_series(folder: Path, edit: Edit) -> tuple[list[Path], list[SeriesVolume]]:
    values = np.full(SHAPE, 100, dtype=np.uint16)
    first = write_series(folder / "1", values, OBLIQUE, edit=edit)
    second = write_series(
        folder / "2", values[:5], make_affine("axial"), series_uid="2.25.9", edit=edit
    )
    return first + second, [read_series(first), read_series(second)]


def masks(kind: str) -> list[NDArray[np.uint8]]:
    empty = np.zeros(SHAPE, dtype=np.uint8)
    other = empty.copy()
    other[2:6, 4:12, 4:9] = 1
    return {
        "one": [blob(SHAPE)],
        "empty": [empty],
        "three, one empty, overlapping": [blob(SHAPE), other, empty],
        "three, all empty": [empty, empty, empty],
    }[kind]


KINDS = ["one", "empty", "three, one empty, overlapping", "three, all empty"]


def judge(tmp_path: Path, kind: str, edit: Edit) -> tuple[set[str], set[str]]:
    """Complaints about the SEG, and those of them that the source has too."""
    files, volumes = two_series(tmp_path, edit)
    segments = masks(kind)
    seg = tmp_path / "seg.dcm"
    origin = make_origin(make_profile(segments=len(segments)))
    write_dataset(build_seg(segments, volumes[0], volumes, origin), seg)
    assert disagreements([*files, seg], tmp_path) == ""
    return complaints(seg), inherited(files[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_validators_have_nothing_to_say(tmp_path: Path, kind: str) -> None:
    assert judge(tmp_path, kind, clean) == (set(), set())


@pytest.mark.parametrize("kind", KINDS)
def test_empty_attributes_of_the_source_are_the_only_complaint(tmp_path: Path, kind: str) -> None:
    found, shared = judge(tmp_path, kind, without_type_2)
    assert found <= shared


def test_the_validators_would_notice_a_fault(tmp_path: Path) -> None:
    files, volumes = two_series(tmp_path, clean)
    origin = make_origin(make_profile())
    dataset = build_seg([blob(SHAPE)], volumes[0], volumes, origin)
    del dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    dataset.PatientID = "ANOTHER"
    seg = tmp_path / "seg.dcm"
    write_dataset(dataset, seg)
    assert any("Error" in line for line in complaints(seg))
    done = dcentvfy([*files, seg], tmp_path / "files.txt")
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
