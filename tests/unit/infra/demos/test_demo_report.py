"""The table says what happened, and one failed line fails the demo."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from infra.demos.queue import Listing
from infra.demos.report import (
    MINIMUM_DICE,
    Evidence,
    FrameReading,
    Outcome,
    all_passed,
    listing_problem,
    print_table,
    rows,
)
from infra.demos.watch import QueueStep
from infra.gates.gate import Check, GateReport
from segrelay.manifest import Provenance, RegistrationRecord, SegmentMeasurement
from segrelay.ulid import new_ulid

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
        weights="the profile's own",
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


def test_a_registration_is_told(evidence: Evidence) -> None:
    record = RegistrationRecord(
        role="t2",
        kept=False,
        information_before=0.44812,
        information_after=0.7,
        turn_degrees=8.41,
        shift_mm=16.28,
        motion=(1.0,) * 16,
    )
    told = evidence.outcome.provenance.model_copy(update={"registrations": (record,)})
    text = printed(replace(evidence, outcome=replace(evidence.outcome, provenance=told)))
    assert "NOT kept: 16.3 mm, 8.4 degrees; mutual information 0.448 before" in text


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


STEPS = (
    QueueStep("pending", "v1/jobs/pending/5-x~demo~0.json", 0.0),
    QueueStep("claimed", "v1/jobs/claimed/lab/5-x~demo~1.json", 0.25),
    QueueStep("result", "v1/results/x.json", 6.25),
    QueueStep("done", "v1/done/5-x~demo.json", 6.5),
)


def listing(*steps: QueueStep) -> Listing:
    return Listing("gs://b/q", "".join(f"gs://b/q/{step.name}\n" for step in steps))


def test_the_names_that_the_job_had_are_in_the_table(evidence: Evidence) -> None:
    text = printed(replace(evidence, queue_steps=STEPS))
    for step in STEPS:
        assert step.name in text
        assert f"queue: {step.state}" in text
        assert f"{step.seconds:.2f}" in text


def test_gsutil_must_show_the_end_and_nothing_of_before() -> None:
    assert listing_problem(listing(*STEPS[2:]), STEPS) == ""
    assert "nothing" in listing_problem(listing(), STEPS)
    assert "result of the job, done and result expected" in listing_problem(
        listing(STEPS[2]), STEPS
    )
    assert "claimed and done and pending" in listing_problem(listing(*STEPS), STEPS)
