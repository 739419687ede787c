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
                                step as it ships / ours
``…_full_history``              the same with a full history on all sides
``cycles_vs_best_peer_made_``   the same, with litequeue among the peers, whose SQLite was set to
``durable``                     flush every commit for this bench
``flush_floor_vs_…``            that peer's cycle time / that of our flushes alone, with no queue
                                around them: more than this no queue of files reaches
``history_ratio``               our claim time with a full history / with none
``local_claim_p99_ms``          from the start of submit to the claim won by another process
                                that waits as the agent does, 99th percentile
==============================  ============================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.benches.harness import Bench, Report
from infra.benches.queue import phases
from infra.benches.queue.phases import QueuePlan, QueueScene
from infra.benches.queue.stores import history, idle, latency, side_by_side
from infra.benches.queue.stores.side_by_side import JQUEUE_KINDS, REDIS_KINDS, best_durable
from infra.benches.queue.table import tables
from lab_side.settings.config import AgentConfig

FILE_PEERS = ("persist-queue", "litequeue-full", "litequeue", "huey", "dirq")
"""On files, beside the directory."""

PEERS = (*FILE_PEERS, *REDIS_KINDS, *JQUEUE_KINDS)

DURABLE_PEERS = ("persist-queue",)
"""Those on files that acknowledge and flush every step as they ship."""

MADE_DURABLE_PEERS = (*DURABLE_PEERS, "litequeue-full")
"""And those that do so once SQLite is told to (``synchronous=FULL``), which no user of theirs is
led to."""

DURABLE_REDIS_PEERS = ("rq", "saq", "arq", "dramatiq")
"""Those that keep a job until its worker has acknowledged it."""


def make_plan(
    *, samples: int, poll: float, idle_poll: float, peers: tuple[str, ...], **others: Any
) -> QueuePlan:
    """Of ``samples`` claims timed for latency, a tenth by scan and a fiftieth when idle."""
    return QueuePlan(
        peers=peers,
        file_peers=tuple(kind for kind in peers if kind in FILE_PEERS),
        doorbell_samples=samples,
        poll_samples=max(1, samples // 10),
        idle_samples=max(1, samples // 50),
        active_poll_s=poll,
        idle_poll_s=idle_poll,
        **others,
    )


def headlines(measured: Report) -> Report:
    """Figures over several phases; None where they were not measured."""
    return {**_of_directory(measured), **_of_stores(measured)}


def _of_directory(measured: Report) -> Report:
    rivals, past = measured.get("side_by_side", {}), measured.get("history", {})
    shipped, made = _best(rivals, DURABLE_PEERS), _best(rivals, MADE_DURABLE_PEERS)
    full = [float(past[kind]["cycle_ratio_to_relay"]) for kind in DURABLE_PEERS if kind in past]
    steps = measured.get("growth", ())
    naive, ours = (sum(step[f"{kind}_claim_us"] for step in steps) for kind in ("naive", "relay"))
    latency = measured.get("latency_ms")
    return {
        "claims_vs_naive": round(naive / ours, 1) if steps else None,
        "cycles_vs_best_durable_peer": shipped and shipped[1],
        "local_claim_p99_ms": latency and latency["doorbell"]["p99_ms"],
        "best_durable_peer": shipped and shipped[0],
        "cycles_vs_best_durable_peer_full_history": min(full, default=None),
        "cycles_vs_best_peer_made_durable": made and made[1],
        "best_peer_made_durable": made and made[0],
        "flush_floor_vs_best_peer_made_durable": made
        and round(made[1] / rivals["floor-files"]["cycle_ratio"], 3),
    }


def _best(rivals: Report, kinds: Sequence[str]) -> tuple[str, float] | None:
    """The peer among ``kinds`` with the shortest cycle, and its cycle time / ours."""
    found = [(kind, float(rivals[kind]["cycle_ratio"])) for kind in kinds if kind in rivals]
    return min(found, key=lambda one: one[1], default=None)


def _of_stores(measured: Report) -> Report:
    rows, waiting = measured.get("stores", {}), measured.get("stores_backlog", {})
    latency, idle = measured.get("stores_latency_ms", {}), measured.get("stores_idle", {})
    best = best_durable(rows, DURABLE_REDIS_PEERS)
    ratios = {kind: row["cycle_ratio"] for kind, row in measured.get("stores_history", {}).items()}
    past = measured.get("history", {}).get("relay")
    own = [past["claim_ratio"]] if past else []
    at_site = idle.get("relay-site", {})
    return {
        "site_claim_p99_ms": latency.get("relay-site", {}).get("p99_ms"),
        "site_idle_requests_per_hour": at_site.get("requests_per_hour"),
        "site_idle_cpu_50_agents": at_site.get("cores"),
        "redis_cycles_vs_best_durable_peer": best and best[1],
        "best_durable_redis_peer": best and best[0],
        "cycles_vs_jqueue": waiting.get("jqueue-flushed", {}).get("ratio_to_directory"),
        "cycles_vs_jqueue_unflushed": waiting.get("jqueue", {}).get("ratio_to_directory"),
        "cycles_vs_jqueue_none_waiting": rows.get("jqueue-flushed", {}).get("ratio_to_directory"),
        "history_ratio": max([*own, *ratios.values()], default=None),
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
        "agents": (50, "idle agents at the site"),
        "idle_s": (100.0, "seconds for which they are watched"),
    },
    peers=PEERS,
    scene=QueueScene,
    phases={
        "side by side": phases.side_by_side,
        "beside the naive way": phases.growth,
        "history": phases.history,
        "backlog": phases.backlog,
        "latency": phases.latency,
        "cloud bucket": phases.cloud,
        "stores": side_by_side.stores,
        "stores waiting": side_by_side.jqueue_backlog,
        "stores latency": latency.stores_latency,
        "stores history": history.stores_history,
        "stores idle": idle.stores_idle,
    },
    summary=headlines,
    expected={
        "claims_vs_naive": ("at least", 50.0),
        "cycles_vs_best_durable_peer": ("at least", 1.0),
        "history_ratio": ("at most", 1.1),
        "local_claim_p99_ms": ("at most", 50.0),
        "site_claim_p99_ms": ("at most", 300.0),
        "site_idle_requests_per_hour": ("at most", 200.0),
        "site_idle_cpu_50_agents": ("at most", 0.05),
        "redis_cycles_vs_best_durable_peer": ("at least", 1.0),
        "cycles_vs_jqueue": ("at least", 3.0),
    },
    also_shown=(
        "best_durable_peer",
        "cycles_vs_best_durable_peer_full_history",
        "cycles_vs_best_peer_made_durable",
        "flush_floor_vs_best_peer_made_durable",
        "best_durable_redis_peer",
        "cycles_vs_jqueue_unflushed",
        "cycles_vs_jqueue_none_waiting",
    ),
    tables=tables,
)
