"""The answers of ``lab-agent status`` and ``lab-agent outbox`` as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lab_side.commands.console import printable, size, span, table
from segrelay.manifest import utc_now
from segrelay.queue import how_far

if TYPE_CHECKING:
    from lab_side.agent.health.control import Pause
    from lab_side.agent.reporting.status import AgentStatus, DiskStatus, HeartbeatStatus, SegStatus
    from segrelay.queue.lease import HeartbeatJob

_LIVES = {
    "running": "runs",
    "stopped": "is stopped",
    "dead": "does not run: its process has ended without a word",
    "silent": "is silent for longer than its lease: it hangs, or its computer does not run",
}


def status(found: AgentStatus) -> str:
    """Format the whole status, one part below the other."""
    head = [_agent(found), *_pause(found.pause), _disk(found.disk)]
    parts = ["\n".join(head)]
    is_running = None if found.beat is None else found.beat.life.value == "running"
    if found.beat is not None and is_running:
        rows = map(_job, found.beat.jobs)
        parts.append(table(("JOB", "ATTEMPT", "STAGE"), rows, empty="No job is in hand."))
        if found.beat.passed_over:
            parts.append(table(("PASSED OVER",), ((line,) for line in found.beat.passed_over)))
    parts.append(segs(found.waiting, found.refused, is_running=is_running))
    return "\n\n".join(parts)


def segs(
    waiting: Sequence[SegStatus], refused: Sequence[SegStatus], *, is_running: bool | None
) -> str:
    """Format what waits and what was set aside; ``is_running``: the agent, None if unknown."""
    now = utc_now()
    parts = [
        table(
            ("WAITING", "SINCE", "SIZE", "FAILED TRIES", "NEXT TRY", "WHY"),
            (_waiting(item, now, is_running) for item in waiting),
            empty="No SEG waits.",
        )
    ]
    if refused:
        parts.append(
            table(("SET ASIDE", "SINCE", "SIZE", "WHY"), (_refused(item, now) for item in refused))
        )
        parts.append(
            "SEGs set aside are not sent again. Take them out with lab-agent outbox export, and "
            f"delete their folders under {refused[0].folder.parent} when they are not needed."
        )
    return "\n\n".join(parts)


def _agent(found: AgentStatus) -> str:
    if found.queue_problem is not None:
        problem = found.queue_problem
        return (
            f"Agent {found.agent}: not known whether it runs, its queue was not reached\n"
            f"Queue {found.queue}: {printable(problem.message)} [{problem.code}]\n"
            f"remedy: {printable(problem.remedy)}"
        )
    if not found.queue:
        return f"Agent {found.agent}: no queue is configured"
    said = "has never run" if found.beat is None else _heartbeat(found.beat)
    return f"Agent {found.agent} {said}\nQueue {found.queue}"


def _heartbeat(heartbeat: HeartbeatStatus) -> str:
    doing = f": {heartbeat.state}" if heartbeat.life.value == "running" else ""
    why = f" ({printable(heartbeat.reason)})" if heartbeat.reason and doing else ""
    device = f", on {printable(heartbeat.device)}" if heartbeat.device and doing else ""
    labels = (
        f", labelled {printable(', '.join(heartbeat.labels))}" if heartbeat.labels and doing else ""
    )
    age = span(heartbeat.age_seconds)
    return f"{_LIVES[heartbeat.life.value]}{doing}{why}{device}{labels}; last heartbeat {age} ago"


def _pause(pause: Pause | None) -> Iterator[str]:
    if pause is not None:
        why = f" ({printable(pause.in_words())})" if pause.in_words() else ""
        since = f"since {pause.at.astimezone():%Y-%m-%d %H:%M}"
        yield f"Paused here {since}{why}: no job is claimed. To go on: lab-agent resume"


def _disk(disk: DiskStatus) -> str:
    text = f"Disk {size(disk.free_bytes)} free under {disk.folder}"
    if disk.is_low:
        needed = size(disk.watermark_bytes)
        return f"{text}: no job is claimed below {needed}. Free space on this disk"
    return text


def _job(job: HeartbeatJob) -> Sequence[str]:
    return (
        job.job_id,
        str(job.attempt),
        f"{job.stage} {how_far(job.percent, job.done, job.total)}",
    )


def _waiting(item: SegStatus, now: datetime, is_running: bool | None) -> Sequence[str]:
    trouble = item.trouble
    return (
        item.job_id,
        _ago(item.written_at, now),
        size(item.size_bytes),
        "0" if trouble is None else str(trouble.tries),
        _next_try(item, now, is_running),
        _why(item),
    )


def _refused(item: SegStatus, now: datetime) -> Sequence[str]:
    return (item.job_id, _ago(item.written_at, now), size(item.size_bytes), _why(item))


def _next_try(item: SegStatus, now: datetime, is_running: bool | None) -> str:
    if is_running is False:
        return "when the agent starts"
    due = None if item.trouble is None else item.trouble.next_at
    seconds = 0.0 if due is None else (due - now).total_seconds()
    if seconds > 0:
        return f"in {span(seconds)}"
    return "now" if is_running else "when the agent runs"


def _why(item: SegStatus) -> str:
    trouble = item.trouble
    if trouble is None:
        return "not tried yet"
    return f"{trouble.code}: {trouble.message} {trouble.remedy}"


def _ago(moment: datetime, now: datetime) -> str:
    return span(max(0.0, (now - moment).total_seconds()))
