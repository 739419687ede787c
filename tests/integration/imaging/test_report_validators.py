"""Our SR before dciodvfy, dcentvfy and dcmqi's tid1500reader."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Container
from pathlib import Path
from typing import Any

import pydicom
import pytest

from lab_side.imaging.write.dicom_file import write_dataset
from lab_side.imaging.write.measure import measure_seg
from lab_side.imaging.write.report import build_report
from segrelay.manifest import SegmentMeasurement
from tests.support.dicom.dicom3tools import dcentvfy, dciodvfy
from tests.support.dicom.dicom_series import Edit
from tests.support.dicom.gate_cases import korean_name, make_case, masks, no_type_2, plain


def made(
    tmp_path: Path, kind: str, edit: Edit, enhanced: Container[str] = ()
) -> tuple[list[Path], Path, tuple[SegmentMeasurement, ...]]:
    """All files, the SR's path, and what it should say."""
    case = make_case(tmp_path, masks()[kind], edit, enhanced=enhanced)
    path = tmp_path / "sr.dcm"
    measured = measure_seg(case.seg)
    write_dataset(build_report(pydicom.dcmread(case.seg), measured), path)
    return [*case.grid, *case.others, case.seg, path], path, measured


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


THREE = "three, one empty, overlapping"

CASES: list[tuple[str, Edit, list[str]]] = [
    *((kind, plain, []) for kind in masks()),
    ("normal", korean_name, []),
    (THREE, no_type_2, []),
    (THREE, plain, ["grid"]),
    ("empty", plain, ["grid", "others"]),
]


@pytest.mark.parametrize(("kind", "edit", "enhanced"), CASES)
def test_the_validators_find_no_error_and_the_reader_reads_the_values(
    tmp_path: Path, kind: str, edit: Edit, enhanced: list[str]
) -> None:
    files, path, measured = made(tmp_path, kind, edit, enhanced)
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
    files, path, _ = made(tmp_path, "normal", plain)
    report = pydicom.dcmread(path)
    del report.CompletionFlag
    report.PatientID = "ANOTHER"
    write_dataset(report, path)
    done = dciodvfy(path)
    assert "Error" in done.stdout + done.stderr
    together = dcentvfy(files, tmp_path / "files.txt")
    assert "PatientID" in together.stdout + together.stderr


def test_the_same_seg_gives_the_same_bytes(tmp_path: Path) -> None:
    _, path, measured = made(tmp_path, THREE, plain)
    first = path.read_bytes()
    write_dataset(build_report(pydicom.dcmread(tmp_path / "seg.dcm"), measured), path)
    assert path.read_bytes() == first
