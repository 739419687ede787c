"""The table says what happened, and one failed line fails the demo."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from common.manifest import Provenance, SegmentMeasurement
from common.ulid import new_ulid
from infra.demo_report import (
    MINIMUM_DICE,
    Evidence,
    FrameReading,
    Outcome,
    all_passed,
    print_table,
    rows,
)
from infra.gate import Check, GateReport

SEG_ID = "-".join(["0123abcd"] * 5)


def outcome(voxels: int) -> Outcome:
    return Outcome(
        job_id=new_ulid(),
        seg_instance_id=SEG_ID,
        measurements=(
            SegmentMeasurement(number=1, label="Tumor", voxels=voxels, volume_ml=voxels / 1000),
        ),
        provenance=Provenance(
            profile="demo",
            profile_version="1.0.0",
            model_sha256="0" * 64,
            device="cpu",
            versions={},
            stage_seconds={"fetch": 1.25, "infer": 3.5},
            series_instance_uids=("1.2", "1.3", "1.4", "1.5"),
        ),
        warnings=(),
    )


@pytest.fixture
def evidence() -> Evidence:
    return Evidence(
        title="phantom, seed 1",
        inputs={"dce-0": "series number 100"},
        preparation_seconds={"upload of the study": 2.0},
        job_seconds=9.0,
        outcome=outcome(5000),
        seg_frames=7,
        seg_bytes=1234,
        frames=FrameReading(7, 5000),
        gate=GateReport((Check("dciodvfy", True, "no error", 0.1),)),
        dice=0.912,
        overlay=Path("/somewhere/overlay.png"),
    )


def printed(evidence: Evidence) -> str:
    output = io.StringIO()
    print_table(Console(file=output, width=200), rows(evidence))
    return output.getvalue()


def test_the_table_has_every_figure(evidence: Evidence) -> None:
    text = printed(evidence)
    for wanted in ("1.25", "3.50", "9.00", SEG_ID, "5.00 ml", "0.912", "/somewhere/overlay.png"):
        assert wanted in text
    assert all_passed(rows(evidence))


def test_a_failed_check_fails_the_demo(evidence: Evidence) -> None:
    bad = replace(evidence, gate=GateReport((Check("dcmqi", False, "3 voxels", 0.1),)))
    assert not all_passed(rows(bad))
    assert "FAILED" in printed(bad)


def test_frames_that_differ_from_the_result_fail_the_demo(evidence: Evidence) -> None:
    assert not all_passed(rows(replace(evidence, frames=FrameReading(7, 4999))))


def test_a_lesion_that_was_not_found_fails_the_demo(evidence: Evidence) -> None:
    assert not all_passed(rows(replace(evidence, dice=MINIMUM_DICE - 0.01)))
    assert all_passed(rows(replace(evidence, dice=MINIMUM_DICE)))


def test_no_tumour_and_no_truth_are_said_so(evidence: Evidence) -> None:
    quiet = replace(evidence, outcome=outcome(0), frames=FrameReading(1, 0), dice=None)
    text = printed(quiet)
    assert "no tumour reported" in text
    assert "Dice" not in text
    assert all_passed(rows(quiet))
