"""The DICOM study of a phantom: complete, shuffled, and true to the case's geometry."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from infra.phantom import REFERENCE_PHASE, Case, make_case, scanner_grid
from infra.phantom.dicom import DEFAULT_PATIENT_NAME, StudyFiles, write_study
from infra.phantom.grid import AXIAL, ORIENTATIONS, Matrix, tilted
from tests.support.dicom.dicom3tools import dcentvfy, dciodvfy

FLIPPED = AXIAL @ np.diag([1.0, 1.0, -1.0])
DIRECTIONS: dict[str, Matrix] = {
    **ORIENTATIONS,
    "flipped": FLIPPED,
    "oblique": tilted(AXIAL, 12.0, 12.0),
}


def small_case(direction: Matrix, seed: int = 6, *, has_lesion: bool = True) -> Case:
    grid = partial(scanner_grid, shape=(18, 28, 36), spacing=(5.2, 5.2, 7.6), direction=direction)
    return make_case(seed, has_lesion=has_lesion, grid=grid)


def read(study: StudyFiles) -> list[list[Dataset]]:
    """The four series, each in the order of its paths."""
    return [[pydicom.dcmread(path) for path in series.paths] for series in study.series]


def sorted_along_normal(series: list[Dataset]) -> list[Dataset]:
    orientation = np.array(series[0].ImageOrientationPatient, float)
    normal = np.cross(orientation[:3], orientation[3:])
    return sorted(series, key=lambda item: float(normal @ np.array(item.ImagePositionPatient)))


@pytest.fixture(scope="module", params=sorted(DIRECTIONS))
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Case, StudyFiles]:
    case = small_case(DIRECTIONS[request.param])
    return case, write_study(case, tmp_path_factory.mktemp("study"))


def test_four_series_of_one_study_and_frame_of_reference(
    written: tuple[Case, StudyFiles],
) -> None:
    case, study = written
    series = read(study)
    everything = [item for items in series for item in items]
    assert [len(items) for items in series] == [case.truth.shape[0]] * 4
    assert {item.StudyInstanceUID for item in everything} == {study.study_instance_uid}
    assert len({item.FrameOfReferenceUID for item in everything}) == 1
    assert len({item.SOPInstanceUID for item in everything}) == len(everything)
    for phase, items in enumerate(series):
        uids = {item.SeriesInstanceUID for item in items}
        assert uids == {study.series[phase].series_instance_uid}
        assert {item.SeriesDescription for item in items} == {f"DCE phase {phase}"}
        assert {item.TemporalPositionIdentifier for item in items} == {phase + 1}
    times = [float(items[0].AcquisitionTime) for items in series]
    assert times == sorted(times)
    assert len(set(times)) == 4


def test_every_pixel_lies_where_the_case_has_it(written: tuple[Case, StudyFiles]) -> None:
    case, study = written
    inverse = np.linalg.inv(case.affine)
    for phase, items in enumerate(read(study)):
        for item in items:
            index = inverse @ np.array([*map(float, item.ImagePositionPatient), 1.0])
            column, row, position = index[:3]
            assert abs(column) < 1e-4
            assert abs(row) < 1e-4
            pixels = case.phases[phase][round(position)]
            assert np.array_equal(item.pixel_array, pixels.astype(np.uint16))
            step = np.array(item.ImageOrientationPatient, float).reshape(2, 3)
            row_mm, column_mm = map(float, item.PixelSpacing)
            assert np.allclose(step[0] * column_mm, case.affine[:3, 0], atol=1e-4)
            assert np.allclose(step[1] * row_mm, case.affine[:3, 1], atol=1e-4)


def test_neither_names_nor_writing_order_tell_the_geometry(
    written: tuple[Case, StudyFiles],
) -> None:
    _, study = written
    for series, items in zip(study.series, read(study), strict=True):
        in_place = [item.SOPInstanceUID for item in sorted_along_normal(items)]
        by_writing = [item.SOPInstanceUID for item in items]
        named = sorted(zip(series.paths, items, strict=True), key=lambda pair: pair[0].name)
        by_name = [item.SOPInstanceUID for _, item in named]
        for order in (by_writing, by_name):
            assert order != in_place
            assert order != in_place[::-1]


def test_the_truth_fits_the_reference_series_by_uid(written: tuple[Case, StudyFiles]) -> None:
    case, study = written
    reference = sorted_along_normal(read(study)[REFERENCE_PHASE])
    with np.load(study.truth) as stored:
        mask, uids = stored["mask"], stored["sop_instance_uids"]
    assert [item.SOPInstanceUID for item in reference] == uids.tolist()
    assert mask.sum() == case.truth.sum() > 0
    before = {
        tuple(np.round(np.array(item.ImagePositionPatient, float), 3)): item.pixel_array
        for item in read(study)[0]
    }
    rise = np.stack(
        [
            item.pixel_array.astype(float)
            - before[tuple(np.round(np.array(item.ImagePositionPatient, float), 3))]
            for item in reference
        ]
    )
    assert rise[mask > 0].mean() > 3 * abs(rise[mask == 0].mean())


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    case = small_case(AXIAL)
    contents: dict[str, set[bytes]] = defaultdict(set)
    for folder in ("first", "second"):
        study = write_study(case, tmp_path / folder)
        for series in study.series:
            for path in series.paths:
                contents[path.name].add(path.read_bytes())
    assert all(len(variants) == 1 for variants in contents.values())
    assert len(contents) == 4 * case.truth.shape[0]


def test_another_patient_gives_other_uids(tmp_path: Path) -> None:
    case = small_case(AXIAL)
    first = write_study(case, tmp_path / "first")
    second = write_study(case, tmp_path / "second", patient_name="Doe^Jane")
    assert first.study_instance_uid != second.study_instance_uid


def test_the_patient_name_is_utf8_and_in_three_scripts(tmp_path: Path) -> None:
    study = write_study(small_case(AXIAL), tmp_path)
    path = study.series[0].paths[0]
    item = pydicom.dcmread(path)
    assert item.PatientName == DEFAULT_PATIENT_NAME
    assert item.SpecificCharacterSet == "ISO_IR 192"
    assert "홍^길동".encode() in path.read_bytes()


def test_a_healthy_study_has_an_empty_truth(tmp_path: Path) -> None:
    study = write_study(small_case(AXIAL, has_lesion=False), tmp_path)
    with np.load(study.truth) as stored:
        assert not stored["mask"].any()
        assert len(stored["sop_instance_uids"]) == 18


@pytest.mark.process
def test_dciodvfy_and_dcentvfy_find_nothing(written: tuple[Case, StudyFiles]) -> None:
    _, study = written
    for path in [series.paths[0] for series in study.series]:
        checked = dciodvfy(path)
        assert checked.returncode == 0, checked.stderr
        assert checked.stderr.strip() == "MRImage"
    paths = [path for series in study.series for path in series.paths]
    checked = dcentvfy(paths, study.truth.with_name("list.txt"))
    assert checked.returncode == 0, checked.stderr
    assert "Error" not in checked.stderr
