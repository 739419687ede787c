"""Series that cannot be placed in space: the job fails before inference, with its reason."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from infra.phantom.case import make_case, scanner_grid
from infra.phantom.dicom import write_study
from segrelay.names import JobName
from segrelay.queue import JobState
from tests.support.lab.lab import DEADLINE, STUDY_SEED, Lab, store_files

Defect = Callable[[list[Dataset]], list[Dataset]]
"""Changes the sorted slices of one series."""


def without_one(slices: list[Dataset]) -> list[Dataset]:
    return [*slices[:8], *slices[9:]]


def one_twice(slices: list[Dataset]) -> list[Dataset]:
    again = deepcopy(slices[8])
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return [*slices, again]


def one_turned(slices: list[Dataset]) -> list[Dataset]:
    slices[8].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    return slices


def one_off_the_grid(slices: list[Dataset]) -> list[Dataset]:
    position = np.array(slices[8].ImagePositionPatient, dtype=float)
    step = np.array(slices[9].ImagePositionPatient, dtype=float) - position
    slices[8].ImagePositionPatient = [round(value, 4) for value in position + 0.3 * step]
    return slices


def not_mr(slices: list[Dataset]) -> list[Dataset]:
    for item in slices:
        item.Modality = "CT"
    return slices


def another_frame_of_reference(slices: list[Dataset]) -> list[Dataset]:
    uid = generate_uid()
    for item in slices:
        item.FrameOfReferenceUID = uid
    return slices


DEFECTS: dict[str, Defect] = {
    "missing-slice": without_one,
    "duplicate-slice": one_twice,
    "mixed-orientation": one_turned,
    "uneven-spacing": one_off_the_grid,
    "not-mr": not_mr,
    "frame-of-reference": another_frame_of_reference,
}


def test_i8_series_that_cannot_be_placed_fail_before_inference(lab: Lab) -> None:
    jobs = {code: submit_with(lab, defect) for code, defect in DEFECTS.items()}
    assert lab.start_agent("once").wait(timeout=DEADLINE) == 0
    for code, name in jobs.items():
        where = lab.where(name)
        assert where.result is not None, code
        assert where.result.failure is not None
        assert (where.state, where.result.failure.code) == (JobState.FAILED, code)
        assert where.result.failure.remedy
    assert not lab.has_event("SEG written")
    assert lab.stored_segs() == []


def submit_with(lab: Lab, defect: Defect) -> JobName:
    """Store a study of its own whose third series has the defect, and submit it."""
    grid = partial(scanner_grid, shape=(20, 24, 28), spacing=(6.0, 6.0, 7.0))
    folder = lab.folder / defect.__name__
    written = write_study(make_case(STUDY_SEED, grid=grid), folder)
    study_uid = generate_uid()
    series: list[list[Path]] = []
    for number, item in enumerate(written.series):
        read: list[Dataset] = [pydicom.dcmread(path) for path in item.paths]
        slices = sorted(read, key=height)
        for one in slices:
            one.StudyInstanceUID = study_uid
        series.append(save_all(defect(slices) if number == 2 else slices, folder / f"s{number}"))
    study = store_files(lab.orthanc, series)
    inputs = [
        {"role": f"dce-{n}", "orthanc_id": study.series_ids[n], "expected_instances": len(files)}
        for n, files in enumerate(series)
    ]
    return lab.submit(orthanc_study_id=study.study_id, series=inputs)


def height(item: Dataset) -> float:
    row, column = np.split(np.array(item.ImageOrientationPatient, dtype=float), 2)
    return float(np.cross(row, column) @ np.array(item.ImagePositionPatient, dtype=float))


def save_all(slices: list[Dataset], folder: Path) -> list[Path]:
    folder.mkdir()
    paths: list[Path] = []
    series_uid = generate_uid()
    for number, item in enumerate(slices):
        # The phantom's series UIDs are the same in every copy of the study.
        item.SeriesInstanceUID = series_uid
        path = folder / f"{number}.dcm"
        item.save_as(path)
        paths.append(path)
    return paths
