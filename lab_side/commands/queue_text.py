"""The answers of the queue's commands as text."""

from __future__ import annotations

from collections.abc import Sequence

from lab_side.commands.console import span, table
from lab_side.queue_overview import (
    AgentOverview,
    ClaimOverview,
    PendingOverview,
    QueueOverview,
    RejectedOverview,
)
from segrelay.queue import JobState, how_far
from segrelay.queue.operator import Cancelled, Requeued


def overview(queue: QueueOverview) -> str:
    """Format the whole queue as tables, one below the other."""
    shown, total = len(queue.rejected), queue.rejected_total
    rejected = f"REJECTED ({shown} newest of {total})" if shown < total else "REJECTED"
    parts = [
        f"Queue {queue.queue} at {queue.store_time:%Y-%m-%d %H:%M:%S} UTC by its own clock",
        table(
            ("AGENT", "STATE", "LAST HEARTBEAT", "DEVICE", "PROFILES"),
            map(_agent, queue.agents),
            empty="No agent has ever sent a heartbeat here.",
        ),
        table(
            ("CLAIMED", "AGENT", "ATTEMPT", "PROFILE", "STAGE"),
            map(_claim, queue.claimed),
            empty="No job is claimed.",
        ),
        table(
            ("PENDING", "PRIORITY", "PROFILE", "CLAIMS", "WHAT"),
            map(_pending, queue.pending),
            empty="No job is pending.",
        ),
    ]
    if queue.misnamed:
        parts.append(table(("MISNAMED",), ((name,) for name in queue.misnamed)))
    unusable = [*queue.odd, *_refused(queue.agents, queue.odd)]
    if unusable:
        more = queue.odd_total - len(queue.odd)
        parts.append(table(("PASSED OVER",), ((line,) for line in unusable)))
        parts += [f"{more} more are passed over."] if more > 0 else []
    if queue.rejected:
        parts.append(table((rejected, "CODE", "WHY"), map(_rejected, queue.rejected)))
    return "\n\n".join(parts)


def cancelled(done: Cancelled) -> str:
    """Format what a cancellation did."""
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
    """Format what bringing a job back did."""
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
            f"{back}: it was taken from agent {done.agent}, which is still alive. Restart that "
            "agent if it hangs."
        )
    return f"{back}: its owner, agent {done.agent}, is dead."


def _refused(agents: Sequence[AgentOverview], seen: Sequence[str]) -> list[str]:
    """List the objects that agents pass over, each once, but for what is ``seen``."""
    lines = {line: item.agent for item in agents for line in item.passed_over if line not in seen}
    return [f"{line} (by agent {agent})" for line, agent in lines.items()]


def _agent(item: AgentOverview) -> Sequence[str]:
    state = f"silent (was {item.state})" if item.lease_over else item.state
    return (
        item.agent,
        f"{state}: {item.reason}" if item.reason else state,
        f"{span(item.beat_age_seconds)} ago",
        item.device or "-",
        (",".join(item.profiles) or "-")
        + (f", labelled {','.join(item.labels)}" if item.labels else ""),
    )


def _claim(item: ClaimOverview) -> Sequence[str]:
    notes = [f"{item.stage} {how_far(item.percent, item.done, item.total)}"]
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
        notes.append("no living agent has what it asks for")
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
