"""Enhanced multi-frame MR through the real agent, its worker and Orthanc."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from infra.gates.gate import check_seg, masks_by_dcmqi, read_grid
from infra.phantom import REFERENCE_PHASE
from segrelay.names import JobName
from segrelay.queue import JobState
from tests.support.dicom.enhanced_series import enhance
from tests.support.lab.lab import DEADLINE, Lab, store_files

ENHANCED = (0, REFERENCE_PHASE)
"""Phases; on the grid of the second one the SEG is."""


@pytest.mark.long
def test_i8_enhanced_beside_classic_series_give_the_mask_of_classic_ones(lab: Lab) -> None:
    files = phases(lab.folder / "study")
    mixed = list(files)
    for phase in ENHANCED:
        mixed[phase] = [enhance(files[phase], lab.folder / f"enhanced-{phase}.dcm")]
    jobs = [lab.submit(), submit(lab, mixed)]
    assert lab.start_agent("once").wait(timeout=DEADLINE) == 0
    classic_seg, mixed_seg = (stored_seg(lab, name) for name in jobs)
    expected = masks_by_dcmqi(classic_seg, read_grid(files[REFERENCE_PHASE]))
    assert any(mask.any() for mask in expected.values())
    others = [path for paths in mixed for path in paths]
    gate = check_seg(mixed_seg, mixed[REFERENCE_PHASE], other_sources=others, expected=expected)
    assert gate.ok, gate
    named = [len(item.ReferencedInstanceSequence) for item in referenced_series(mixed_seg)]
    assert named == [len(paths) for paths in mixed]


def phases(folder: Path) -> list[list[Path]]:
    """The files of each series, by Series Number."""
    found: dict[int, list[Path]] = {}
    for path in sorted(folder.rglob("*.dcm")):
        number = int(pydicom.dcmread(path, specific_tags=["SeriesNumber"]).SeriesNumber)
        found.setdefault(number, []).append(path)
    return [found[number] for number in sorted(found)]


def submit(lab: Lab, files: list[list[Path]]) -> JobName:
    study = store_files(lab.orthanc, files)
    inputs = [
        {"role": f"dce-{n}", "orthanc_id": series, "expected_instances": len(files[n])}
        for n, series in enumerate(study.series_ids)
    ]
    return lab.submit(orthanc_study_id=study.study_id, series=inputs)


def stored_seg(lab: Lab, name: JobName) -> Path:
    """The SEG of a job that succeeded, as Orthanc has it."""
    where = lab.where(name)
    assert where.state is JobState.SUCCEEDED, where
    assert where.result is not None
    assert where.result.seg is not None
    path = lab.folder / f"{name.job_id}.dcm"
    with lab.orthanc.session() as session:
        address = f"{lab.orthanc.url}/instances/{where.result.seg.orthanc_id}/file"
        path.write_bytes(session.get(address).content)
    return path


def referenced_series(seg: Path) -> list[pydicom.Dataset]:
    return list(pydicom.dcmread(seg).ReferencedSeriesSequence)
