"""Which series of a study become which input."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from infra.demos.model import choose_profile
from infra.demos.study import Study, choose_inputs, load_study
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.errors import FixConfigurationError
from segrelay.profiles import load_profile
from tests.support.dicom.seg_study import write_seg_study

PHASES = load_profile(PACKAGED_PROFILES / "breast-dce-swinunetr").inputs
SEQUENCES = load_profile(PACKAGED_PROFILES / "brats-segresnet").inputs


def add_series(folder: Path, template: Path, number: int | None, description: str) -> str:
    """Write a one-image series; returns its UID."""
    dataset = pydicom.dcmread(template)
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = generate_uid(), generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SeriesNumber, dataset.SeriesDescription = number, description
    dataset.save_as(folder / f"{dataset.SOPInstanceUID}.dcm")
    return str(dataset.SeriesInstanceUID)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    folder = tmp_path / "template"
    folder.mkdir()
    return write_seg_study(folder).sources[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "study"
    path.mkdir()
    return path


def test_series_are_ordered_by_number_then_by_the_numbers_in_the_description(
    folder: Path, template: Path
) -> None:
    no_number = [add_series(folder, template, None, f"phase {n}") for n in (10, 9)]
    numbered = [add_series(folder, template, n, "") for n in (11, 2)]
    study = load_study(folder, folder)
    assert [series.series_instance_uid for series in study.series] == [
        *reversed(numbered),
        *reversed(no_number),
    ]


def test_a_zip_and_the_folder_it_was_made_of_hold_the_same_series(
    folder: Path, template: Path, tmp_path: Path
) -> None:
    for number in range(4):
        add_series(folder, template, number, "")
    holder = tmp_path / "holder"
    holder.mkdir()
    (holder / "README.md").write_text("not DICOM")
    archive = holder / "study.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        for file in folder.iterdir():
            writer.write(file, f"inner/{file.name}")
    plain = load_study(folder, folder)
    for given in (archive, holder):
        unpacked = load_study(given, tmp_path / "unpacked" / given.name)
        assert [s.series_instance_uid for s in unpacked.series] == [
            s.series_instance_uid for s in plain.series
        ]


def test_a_zip_beside_the_images_of_a_folder_is_passed_over(
    folder: Path, template: Path, tmp_path: Path
) -> None:
    add_series(folder, template, 1, "")
    with zipfile.ZipFile(folder / "other.zip", "w") as writer:
        writer.writestr("notes.txt", "not DICOM")
    assert len(load_study(folder, tmp_path / "unpacked").series) == 1


def test_segs_and_other_files_are_passed_over(tmp_path: Path) -> None:
    study = write_seg_study(tmp_path)
    (tmp_path / "notes.txt").write_text("not DICOM")
    loaded = load_study(tmp_path, tmp_path)
    assert [len(series.files) for series in loaded.series] == [len(study.sources)]


def test_images_of_two_studies_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_seg_study(tmp_path / name)
    with pytest.raises(FixConfigurationError) as error:
        load_study(tmp_path, tmp_path)
    assert error.value.code == "study-count"


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixConfigurationError) as error:
        load_study(tmp_path / "nothing.zip", tmp_path)
    assert error.value.code == "study-missing"


def test_phases_are_told_by_the_sites_rules(folder: Path, template: Path) -> None:
    uids = {n: add_series(folder, template, n, f"dyn {n}") for n in (7, 5, 8, 6)}
    chosen = choose_inputs(load_study(folder, folder), PHASES)
    assert {role: item.series.series_instance_uid for role, item in chosen.items()} == {
        f"dce-{number - 5}": uid for number, uid in uids.items()
    }
    assert {item.confidence.value for item in chosen.values()} == {"likely"}
    assert chosen["dce-1"].why.startswith("its series number 6 is number 2 of 4")


def test_sequences_are_told_by_the_sites_rules_whatever_their_numbers(
    folder: Path, template: Path
) -> None:
    names = {"t1c": "T1 AX POST GAD", "t1": "T1 AX", "t2": "T2 AX", "flair": "FLAIR AX"}
    uids = {
        role: add_series(folder, template, 9 - number, name)
        for number, (role, name) in enumerate(names.items())
    }
    add_series(folder, template, 1, "LOCALIZER")
    chosen = choose_inputs(load_study(folder, folder), SEQUENCES)
    assert {role: item.series.series_instance_uid for role, item in chosen.items()} == uids


def test_a_role_that_no_series_fits_is_named() -> None:
    with pytest.raises(
        FixConfigurationError, match=r"role t1c: no series looks like T1 [+]C"
    ) as error:
        choose_inputs(Study("x", ()), SEQUENCES)
    assert error.value.code == "series-not-recognised"


@pytest.mark.parametrize(
    ("descriptions", "profile"),
    [
        (("T1 AX POST GAD", "T1 AX", "T2 AX", "FLAIR AX"), "glioma"),
        (("dyn 5", "dyn 6", "dyn 7", "dyn 8"), "breast-dce"),
    ],
)
def test_a_study_finds_its_profile(
    folder: Path, template: Path, descriptions: tuple[str, ...], profile: str
) -> None:
    for number, description in enumerate(descriptions, start=5):
        add_series(folder, template, number, description)
    assert choose_profile(load_study(folder, folder)) == profile


def test_a_study_that_no_profile_fits_is_refused(folder: Path, template: Path) -> None:
    add_series(folder, template, 1, "LOCALIZER")
    with pytest.raises(FixConfigurationError) as error:
        choose_profile(load_study(folder, folder))
    assert error.value.code == "series-not-recognised"
