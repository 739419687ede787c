"""Text for the console: tables, one job in full, and a line that follows a job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import OutputWrapper

from gcp_side.labseg.jobs.confirmation import read_reasons
from gcp_side.labseg.jobs.waiting import Waiting
from gcp_side.labseg.messages import explain_stage
from gcp_side.labseg.models import EventKind, Job, JobEvent, Outcome, State
from gcp_side.labseg.part_texts import volume_words
from gcp_side.labseg.volume_ids import volume_name
from segrelay.queue import how_far

BAR_WIDTH = 24

_COLUMNS = ("JOB", "STATE", "PROFILE", "SUBMITTED (UTC)", "WHAT")


def table(jobs: Iterable[Job]) -> str:
    """One line for each job, under a heading."""
    return aligned(
        _COLUMNS,
        (
            (
                job.job_id,
                str(job.state),
                job.profile,
                time_in_words(job.submitted_at),
                in_words(job),
            )
            for job in jobs
        ),
    )


def aligned(heading: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Cells in columns, each as wide as its longest cell, under a heading."""
    rows = [heading, *lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def in_words(job: Job, waiting: Waiting | None = None) -> str:
    """What matters most about a job now, in a few words; why it waits, where that was asked."""
    if job.state == State.SUCCEEDED:
        return "; ".join(_measurement(item) for item in job.measurements) or "no segment"
    if job.failure_code:
        return f"{job.failure_code}: {job.failure_reason}"
    if job.missing_since:
        return f"the queue shows nothing of it since {time_in_words(job.missing_since)}"
    if job.is_open and job.cancel_requested_at:
        return f"{State(job.state).label}; to be cancelled"
    if job.state == State.CLAIMED:
        progress = how_far(job.percent, job.done, job.total)
        return f"{explain_stage(job.stage)} {progress} on {job.agent}"
    label = str(State(job.state).label)
    return label if waiting is None else f"{label}: {waiting.text}"


def in_full(job: Job, waiting: Waiting | None = None) -> str:
    """Everything that is known about a job."""
    lines = [
        ("job", job.job_id),
        ("state", f"{job.state}: {State(job.state).label}"),
        ("profile", job.profile),
        *([("labels", ", ".join(job.labels))] if job.labels else []),
        ("study", job.orthanc_study_id),
        *((item["role"], _series(item)) for item in job.series),
        ("submitted", f"{time_in_words(job.submitted_at)} UTC"),
    ]
    if job.retry_of_id:
        lines.append(("retry of", job.retry_of_id))
    lines += [("tried again as", f"{again.job_id} ({again.state})") for again in job.retries.all()]
    if job.agent:
        lines.append(("agent", f"{job.agent} (attempt {job.attempt})"))
    if job.is_open:
        lines.append(("now", in_words(job, waiting)))
    if job.finished_at:
        lines.append(("finished", f"{time_in_words(job.finished_at)} UTC"))
    if job.seg_orthanc_id:
        lines.append(("SEG instance", job.seg_orthanc_id))
        if job.report_orthanc_id:
            lines.append(("SR instance", job.report_orthanc_id))
        lines.append(("tumour", "yes" if job.tumour_found else "no"))
    lines += [("segment", _measurement(item)) for item in job.measurements]
    if job.confirmed:
        lines.append(("confirmed by", job.confirmed_by))
        lines += [("confirmed", reason.text) for reason in read_reasons(job.confirmed)]
    lines += [("warning", text) for text in job.warnings]
    if job.failure_code:
        lines += [
            ("reason", f"{job.failure_reason} ({job.failure_code})"),
            ("remedy", job.failure_remedy),
        ]
    lines += [(time_in_words(event.at, "%H:%M:%S"), _event(event)) for event in job.events.all()]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in lines)


class Follower:
    """Shows a job's progress: one line redrawn on a terminal, else one line a change."""

    def __init__(self, stream: OutputWrapper) -> None:
        self._stream = stream
        self._redraw = stream.isatty()
        self._last = ""

    def show(self, job: Job, waiting: Waiting | None) -> None:
        """Show the job as it is now, and why it waits."""
        text = f"{job.job_id} {in_words(job, waiting)}"
        if self._redraw and job.state == State.CLAIMED:
            text = f"{_bar(job.percent)} {text}"
        if text == self._last:
            return
        self._last = text
        self._write(f"\r\x1b[K{text}" if self._redraw else f"{text}\n")

    def close(self) -> None:
        """End the line that is being rewritten."""
        if self._redraw and self._last:
            self._write("\n")

    def _write(self, text: str) -> None:
        # Without its own style: stderr would be red on a terminal.
        self._stream.write(text, style_func=str, ending="")
        self._stream.flush()


def _bar(percent: int) -> str:
    filled = BAR_WIDTH * percent // 100
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]"


def time_in_words(value: datetime, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """In UTC, whatever zone the project reads its columns in."""
    return value.astimezone(UTC).strftime(form)


def _measurement(item: dict[str, Any]) -> str:
    return f"{item['label']} {item['volume_ml']:.2f} ml"


def _series(item: dict[str, Any]) -> str:
    part = item.get("part")
    images = f"{item['expected_instances']} instances" if part is None else volume_words(part)
    return f"{volume_name(item)} ({images})"


def _event(event: JobEvent) -> str:
    parts = [str(EventKind(event.kind).label)]
    if event.attempt:
        parts.append(f"(attempt {event.attempt}{f' on {event.agent}' if event.agent else ''})")
    if event.outcome:
        parts.append(f"{Outcome(event.outcome).label}:")
    if event.text:
        parts.append(event.text)
    return " ".join(parts)
