"""Our SR before dciodvfy, dcentvfy and dcmqi's tid1500reader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from common.manifest import SegmentMeasurement
from lab_side.imaging.measure import measure_seg
from lab_side.imaging.report import build_report
from lab_side.imaging.seg import build_seg
from lab_side.imaging.series import read_series
from lab_side.imaging.store import write_dataset
from tests.support.dicom3tools import dcentvfy, dciodvfy
from tests.support.dicom_series import Edit, make_affine, rotation, write_series
from tests.support.imaging_cases import blob, make_origin, make_profile

SHAPE = (8, 24, 18)
OBLIQUE = make_affine("sagittal", tilt=rotation(11, -6, 4))
"""The cases of the gate: what is in the mask, and what is odd about the sources."""

Voxels = dict[str, list[NDArray[np.uint8]]]


def masks() -> Voxels:
    empty = np.zeros(SHAPE, dtype=np.uint8)
    one, full, other = empty.copy(), empty.copy(), empty.copy()
    one[3, 11, 7] = 1
    full[4] = 1
    other[2:6, 4:12, 4:9] = 1
    return {
        "normal": [blob(SHAPE)],
        "empty": [empty],
        "one voxel": [one],
        "full slice": [full],
        "three segments": [blob(SHAPE), other, empty],
        "three, all empty": [empty, empty, empty],
    }


def edits() -> dict[str, Edit]:
    def plain(dataset: pydicom.Dataset, _: int) -> None:
        # A breast phantom is no paired body part of its own; an empty value would be a warning.
        del dataset.Laterality

    def korean(dataset: pydicom.Dataset, index: int) -> None:
        plain(dataset, index)
        dataset.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
        dataset.PatientName = "Hong^Gildong=洪^吉洞=홍^길동"

    def without_type_2(dataset: pydicom.Dataset, index: int) -> None:
        plain(dataset, index)
        for keyword in (
            "StudyID",
            "AccessionNumber",
            "StudyTime",
            "PatientBirthDate",
            "PatientSex",
        ):
            delattr(dataset, keyword)

    return {"plain": plain, "non-ASCII name": korean, "missing type 2": without_type_2}


def made(
    tmp_path: Path, segments: list[NDArray[np.uint8]], edit: Edit
) -> tuple[list[Path], Path, tuple[SegmentMeasurement, ...]]:
    """All files, the SR's path, and what it should say."""
    values = np.full(SHAPE, 100, dtype=np.uint16)
    first = write_series(tmp_path / "1", values, OBLIQUE, edit=edit)
    second = write_series(
        tmp_path / "2", values[:5], make_affine("axial"), series_uid="2.25.9", edit=edit
    )
    volumes = [read_series(first), read_series(second)]
    origin = make_origin(make_profile(segments=len(segments)))
    seg_path, path = tmp_path / "seg.dcm", tmp_path / "sr.dcm"
    write_dataset(build_seg(segments, volumes[0], volumes, origin), seg_path)
    measured = measure_seg(seg_path)
    write_dataset(build_report(pydicom.dcmread(seg_path), measured), path)
    return [*first, *second, seg_path, path], path, measured


def read_by_dcmqi(path: Path, folder: Path) -> list[dict[str, Any]]:
    """The measurement groups as tid1500reader gives them."""
    program = Path(sys.executable).with_name("tid1500reader")
    output = folder / "read.json"
    subprocess.run(
        [program, "--inputDICOM", path, "--outputMetadata", output],
        check=True,
        capture_output=True,
        timeout=60,
    )
    groups: list[dict[str, Any]] = json.loads(output.read_text())["Measurements"]
    return groups


CASES = [(kind, "plain") for kind in masks()] + [
    ("normal", "non-ASCII name"),
    ("three segments", "missing type 2"),
]


@pytest.mark.parametrize(("kind", "edit"), CASES)
def test_the_validators_find_no_error_and_the_reader_reads_the_values(
    tmp_path: Path, kind: str, edit: str
) -> None:
    files, path, measured = made(tmp_path, masks()[kind], edits()[edit])
    done = dciodvfy(path)
    lines = (done.stdout + done.stderr).splitlines()
    assert "Comprehensive3DSR" in lines
    assert [line for line in lines if line.startswith("Error")] == []
    together = dcentvfy(files, tmp_path / "files.txt")
    assert "Error" not in together.stdout + together.stderr
    assert together.returncode == 0
    found = {
        group["TrackingIdentifier"]: {
            item["quantity"]["CodeValue"]: (float(item["value"]), item["units"]["CodeValue"])
            for item in group["measurementItems"]
        }
        for group in read_by_dcmqi(path, tmp_path)
    }
    assert found == {item.label: expected(item) for item in measured}


def expected(item: SegmentMeasurement) -> dict[str, tuple[float, str]]:
    volume = {"118565006": (item.volume_ml, "ml")}
    if item.longest_diameter_mm is None:
        return volume
    return {**volume, "L0JK": (item.longest_diameter_mm, "mm")}


def test_the_validators_would_notice_a_fault(tmp_path: Path) -> None:
    files, path, _ = made(tmp_path, masks()["normal"], edits()["plain"])
    report = pydicom.dcmread(path)
    del report.CompletionFlag
    report.PatientID = "ANOTHER"
    write_dataset(report, path)
    done = dciodvfy(path)
    assert "Error" in done.stdout + done.stderr
    together = dcentvfy(files, tmp_path / "files.txt")
    assert "PatientID" in together.stdout + together.stderr


def test_the_same_seg_gives_the_same_bytes(tmp_path: Path) -> None:
    _, path, measured = made(tmp_path, masks()["three segments"], edits()["plain"])
    first = path.read_bytes()
    write_dataset(build_report(pydicom.dcmread(tmp_path / "seg.dcm"), measured), path)
    assert path.read_bytes() == first
