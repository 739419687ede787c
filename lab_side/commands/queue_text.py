"""What the queue's commands tell a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common.queue import JobState
from common.queue.operator import Cancelled, Requeued
from common.queue.overview import (
    AgentOverview,
    ClaimOverview,
    PendingOverview,
    QueueOverview,
    RejectedOverview,
)


def overview(queue: QueueOverview) -> str:
    """The whole queue as tables, one below the other."""
    shown, total = len(queue.rejected), queue.rejected_total
    rejected = f"REJECTED ({shown} newest of {total})" if shown < total else "REJECTED"
    parts = [
        f"Queue {queue.queue} at {queue.store_time:%Y-%m-%d %H:%M:%S} UTC by its own clock",
        _table(
            ("AGENT", "STATE", "LAST BEAT", "DEVICE", "PROFILES"),
            map(_agent, queue.agents),
            empty="No agent has ever beaten here.",
        ),
        _table(
            ("CLAIMED", "AGENT", "ATTEMPT", "PROFILE", "STAGE"),
            map(_claim, queue.claimed),
            empty="No job is claimed.",
        ),
        _table(
            ("PENDING", "PRIORITY", "PROFILE", "CLAIMS", "WHAT"),
            map(_pending, queue.pending),
            empty="No job is pending.",
        ),
    ]
    if queue.misnamed:
        parts.append(_table(("MISNAMED",), ((name,) for name in queue.misnamed)))
    if queue.rejected:
        parts.append(_table((rejected, "CODE", "WHY"), map(_rejected, queue.rejected)))
    return "\n\n".join(parts)


def cancelled(done: Cancelled) -> str:
    """What a cancellation did."""
    if done.state is not JobState.CANCELLED:
        by = f", by {done.author}" if done.author else ""
        return f"Job {done.job_id} had ended before: {done.state.value}{by}. Nothing was changed."
    if done.agent is None:
        return f"Job {done.job_id} is cancelled."
    return (
        f"Job {done.job_id} is cancelled. Agent {done.agent} has it and stops before the next "
        "inference or upload."
    )


def requeued(done: Requeued) -> str:
    """What bringing a job back did."""
    if done.state is JobState.FAILED:
        return (
            f"Job {done.job_id} had no attempt left and has failed. To run it again as a new "
            f"job: manage.py labseg retry {done.job_id}"
        )
    if done.state is not JobState.PENDING:
        return f"Job {done.job_id} has ended meanwhile: {done.state.value}."
    if not done.changed:
        return f"Job {done.job_id} is in the queue already, and waits for nothing but an agent."
    back = f"Job {done.job_id} is back in the queue"
    if done.was is JobState.REJECTED:
        return f"{back}: it had been rejected."
    if done.was is JobState.PENDING:
        return f"Job {done.job_id} may be claimed at once: its wait is over."
    if done.forced:
        return (
            f"{back}: it was taken from agent {done.agent}, which still beats. Restart that "
            "agent if it hangs."
        )
    return f"{back}: its owner, agent {done.agent}, is dead."


def _agent(item: AgentOverview) -> Sequence[str]:
    state = f"silent (was {item.state})" if item.lease_over else item.state
    return (
        item.agent,
        f"{state}: {item.reason}" if item.reason else state,
        f"{_span(item.beat_age_seconds)} ago",
        item.device or "-",
        ",".join(item.profiles) or "-",
    )


def _claim(item: ClaimOverview) -> Sequence[str]:
    counted = f"{item.done}/{item.total}" if item.total else f"{item.percent} %"
    notes = [f"{item.stage} {counted}"]
    if item.ended is not None:
        notes.append(f"has ended: {item.ended.value}")
    if not item.owner_alive:
        notes.append("owner dead: comes back")
    return (item.job_id, item.agent, str(item.attempt), item.profile, "; ".join(notes))


def _pending(item: PendingOverview) -> Sequence[str]:
    notes = []
    if item.not_before is not None:
        notes.append(f"not before {item.not_before:%H:%M:%S} UTC")
    if item.last_attempt is not None:
        notes.append(f"last: {item.last_attempt.code}: {item.last_attempt.reason}")
    if not item.served:
        notes.append("no living agent has this profile")
    return (
        item.job_id,
        str(item.priority),
        item.profile,
        str(item.claims),
        "; ".join(notes) or "waits for an agent",
    )


def _rejected(item: RejectedOverview) -> Sequence[str]:
    why = f"{item.reason} {item.remedy}".strip()
    return (item.job_id or item.file, item.code or "-", why or "its reason cannot be read")


def _span(seconds: float) -> str:
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str = "") -> str:
    lines = [heading, *([_printable(cell) for cell in row] for row in rows)]
    if len(lines) == 1:
        return empty
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _printable(text: str) -> str:
    # Whoever may write to the bucket must not move the cursor of whoever reads.
    return "".join(character if character.isprintable() else "?" for character in text)
