"""``infra/bench queue``: the job queue beside the naive way and others' queues, in one run.

What is timed, for everybody alike: a job is submitted (not timed; flushed to the disk where
the queue can), then the clock runs from before the look for work to after the read of the
job (*claim*), and on to after result and acknowledgement (*finish*); both are a *cycle*. One
process each, blocks of jobs in turn and in a new order every round, ``sync`` between blocks;
a figure is the median of the rounds' means, a ratio the median of the rounds' ratios.

Flushed to the disk by SegRelay: in a finish the result's file and folder, and with them all
that was renamed before. A claim and the move into the archive are renames that the protocol
repeats when a power failure undoes them: they are not flushed on their own. By the others:
see ``naive`` and ``peers``; the table says it in each row.

On ext4, leave some minutes after many files were removed from the measured disk: a new file
gets no inode that was freed just now, and the search past a thousand of these takes a tenth
of a millisecond, charged to the next process that makes files.

==============================  ============================================================
``claims_vs_naive``             naive claim time / ours, mean over a run of N jobs whose
                                finished ones stay where each side leaves them
``cycles_vs_best_durable_peer`` best cycle time of a peer that acknowledges and flushes every
                                step / ours
``flush_floor_vs_…``            the same peer's cycle time / that of our flushes alone, with no
                                queue around them: more than this no queue of files reaches
``…_full_history``              the same with a full history on all sides
``history_ratio``               our claim time with a full history / with none
``local_claim_p99_ms``          from the start of submit to the claim won by another process
                                that waits as the agent does, 99th percentile
==============================  ============================================================
"""

from __future__ import annotations

from typing import Any

from infra.benches.harness import Bench, Report, Scene
from infra.benches.queue import phases
from infra.benches.queue.phases import QueuePlan, QueueScene
from infra.benches.queue.table import tables
from lab_side.settings.config import AgentConfig

PEERS = ("persist-queue", "litequeue-full", "litequeue", "huey", "dirq")

DURABLE_PEERS = ("persist-queue", "litequeue-full")
"""Those that acknowledge and flush every step."""


def make_plan(*, samples: int, poll: float, idle_poll: float, **others: Any) -> QueuePlan:
    """Of ``samples`` claims timed for latency, a tenth by scan and a fiftieth when idle."""
    return QueuePlan(
        doorbell_samples=samples,
        poll_samples=max(1, samples // 10),
        idle_samples=max(1, samples // 50),
        active_poll_s=poll,
        idle_poll_s=idle_poll,
        **others,
    )


def headlines(measured: Report) -> Report:
    """Figures over several phases; None where they were not measured."""
    rivals = measured["side_by_side"]
    peers = [kind for kind in DURABLE_PEERS if kind in rivals]
    best = min(peers, key=lambda kind: float(rivals[kind]["cycle_ratio"]), default=None)
    full = [float(measured["history"][kind]["cycle_ratio_to_relay"]) for kind in peers]
    steps = measured["growth"]
    naive, ours = (sum(step[f"{kind}_claim_us"] for step in steps) for kind in ("naive", "relay"))
    cycles = None if best is None else rivals[best]["cycle_ratio"]
    lower_bound = rivals["floor-files"]["cycle_ratio"]
    return {
        "claims_vs_naive": round(naive / ours, 1),
        "cycles_vs_best_durable_peer": cycles,
        "history_ratio": measured["history"]["relay"]["claim_ratio"],
        "local_claim_p99_ms": measured["latency_ms"]["doorbell"]["p99_ms"],
        "best_durable_peer": best,
        "flush_floor_vs_best_durable_peer": cycles and round(cycles / lower_bound, 3),
        "cycles_vs_best_durable_peer_full_history": min(full, default=None),
    }


def _agent_default(setting: str) -> float:
    return float(AgentConfig.model_fields[setting].default)


BENCH: Bench[QueuePlan, QueueScene] = Bench(
    name="queue",
    description="The job queue beside other ways to do it.",
    seed=20_261_123,
    plan=make_plan,
    options={
        "rounds": (9, "blocks of each"),
        "block": (40, "jobs in a block"),
        "run": (10_000, "jobs in the run beside the naive way"),
        "history": (100_000, "finished jobs in the full history"),
        "backlog": (400, "jobs that wait when the clock starts"),
        "samples": (200, "claims timed for latency"),
        "poll": (_agent_default("poll_seconds"), "seconds between scans soon after activity"),
        "idle_poll": (_agent_default("idle_poll_seconds"), "seconds between scans when idle"),
    },
    peers=PEERS,
    scene=Scene,
    phases={
        "side by side": phases.side_by_side,
        "beside the naive way": phases.growth,
        "history": phases.history,
        "backlog": phases.backlog,
        "latency": phases.latency,
        "cloud bucket": phases.cloud,
    },
    summary=headlines,
    expected={
        "claims_vs_naive": ("at least", 50.0),
        "cycles_vs_best_durable_peer": ("at least", 1.0),
        "history_ratio": ("at most", 1.1),
        "local_claim_p99_ms": ("at most", 50.0),
    },
    also_shown=("flush_floor_vs_best_durable_peer", "cycles_vs_best_durable_peer_full_history"),
    tables=tables,
)
