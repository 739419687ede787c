"""What the demo measured and where it is: one table at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.demos.queue import Listing
from infra.demos.watch import QueueStep
from infra.gates.gate import GateReport
from segrelay.manifest import Provenance, RegistrationRecord, SegmentMeasurement

MINIMUM_DICE = 0.7
"""Below this the mask does not lie on the phantom's lesion: something is misplaced. How well the
network does on average is what ``infra.training.evaluate`` measures."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    result: str
    seconds: float | None = None
    ok: bool | None = None
    """None for plain facts, which can neither pass nor fail."""


@dataclass(frozen=True)
class Outcome:
    """A succeeded job as the site shows it."""

    job_id: str
    seg_instance_id: str
    """Orthanc's id of the SEG."""
    measurements: tuple[SegmentMeasurement, ...]
    provenance: Provenance
    warnings: tuple[str, ...]

    @property
    def voxels(self) -> int:
        """Sum of the segments."""
        return sum(item.voxels for item in self.measurements)


@dataclass(frozen=True)
class FrameReading:
    """What the site's frames endpoint returned."""

    frames: int
    voxels: int
    """Pixels that are not 0, over all frames."""


@dataclass(frozen=True)
class Evidence:
    """All that the demo found out about one finished job."""

    title: str
    weights: str
    """What the network's weights are, in words."""
    inputs: Mapping[str, str]
    """Role -> the series it was given, in words."""
    preparation_seconds: Mapping[str, float]
    """What happened before the job was submitted."""
    job_seconds: float
    """From submit to result."""
    outcome: Outcome
    seg_frames: int
    seg_bytes: int
    frames: FrameReading
    gate: GateReport
    dice: float | None
    """None where no truth is known."""
    overlay: Path
    queue_steps: tuple[QueueStep, ...] = ()
    """The names that the job had in the queue; empty where it was not watched."""


def rows(evidence: Evidence) -> list[Row]:
    """The table's lines, in the order of the data's way."""
    outcome = evidence.outcome
    provenance = outcome.provenance
    table = [Row("study", evidence.title)]
    table += [Row(f"input {role}", series) for role, series in evidence.inputs.items()]
    table += [Row(name, "done", seconds) for name, seconds in evidence.preparation_seconds.items()]
    table += [Row(f"stage {n}", "done", s) for n, s in provenance.stage_seconds.items()]
    table += [Row(f"queue: {step.state}", step.name, step.seconds) for step in evidence.queue_steps]
    table.append(Row("job, submit to result", outcome.job_id, evidence.job_seconds))
    table.append(Row("device", f"{provenance.device}, profile {provenance.profile}"))
    table.append(Row("weights", evidence.weights))
    table += map(_registration_row, provenance.registrations)
    table.append(Row("SEG in Orthanc", outcome.seg_instance_id))
    table.append(Row("SEG frames", f"{evidence.seg_frames}, {evidence.seg_bytes} bytes"))
    table += _measurement_rows(outcome)
    table += [Row("warning", text) for text in outcome.warnings]
    table.append(_frames_row(evidence))
    if evidence.dice is not None:
        detail = f"{evidence.dice:.3f}, at least {MINIMUM_DICE} expected"
        table.append(Row("Dice against the truth", detail, ok=evidence.dice >= MINIMUM_DICE))
    table += [Row(f"gate {c.name}", c.detail, c.seconds, c.ok) for c in evidence.gate.checks]
    table.append(Row("overlay", str(evidence.overlay)))
    return table


def listing_problem(listing: Listing, steps: tuple[QueueStep, ...]) -> str:
    """What gsutil shows wrongly of the ended job: places that it has left, or not all its ends.

    Empty where it shows it rightly.
    """
    shown = {step.state for step in steps if step.name in listing.names}
    expected = {step.state for step in steps} - {"pending", "claimed"}
    if shown == expected:
        return ""
    return f"gsutil shows {_joined(shown)} of the job, {_joined(expected)} expected."


def all_passed(table: list[Row]) -> bool:
    """Whether nothing in the table failed."""
    return all(row.ok is not False for row in table)


def print_table(console: Console, table: list[Row]) -> None:
    """Print it; ids and paths are not cut, so that they can be copied."""
    grid = Table("what", "seconds", "result", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    grid.columns[1].justify = "right"
    grid.columns[2].overflow = "fold"
    marks = {None: "", True: "[green]ok[/] ", False: "[bold red]FAILED[/] "}
    for row in table:
        seconds = "" if row.seconds is None else f"{row.seconds:.2f}"
        grid.add_row(escape(row.what), seconds, marks[row.ok] + escape(row.result))
    console.print(grid)


def _measurement_rows(outcome: Outcome) -> list[Row]:
    if outcome.voxels == 0:
        return [Row("finding", "no tumour reported")]
    return [
        Row(f"volume of {item.label}", f"{item.volume_ml:.2f} ml, {item.voxels} voxels")
        for item in outcome.measurements
    ]


def _registration_row(record: RegistrationRecord) -> Row:
    kept = "kept" if record.kept else "NOT kept"
    return Row(
        f"registration of {record.role}",
        f"{kept}: {record.shift_mm:.1f} mm, {record.turn_degrees:.1f} degrees; mutual information "
        f"{record.information_before:.3f} before, {record.information_after:.3f} after",
    )


def _joined(states: set[str]) -> str:
    return " and ".join(sorted(states)) or "nothing"


def _frames_row(evidence: Evidence) -> Row:
    """The page's frames hold exactly the voxels that the result reports."""
    measured, read = evidence.outcome.voxels, evidence.frames
    detail = f"{read.frames} frames with {read.voxels} voxels, the result says {measured}"
    return Row("frames through the site", detail, ok=read.voxels == measured)
