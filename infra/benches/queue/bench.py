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

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from infra.benches.command import heading, make_parser, run
from infra.benches.machine import describe_machine, load
from infra.benches.queue import phases
from infra.benches.queue.phases import Plan
from infra.benches.queue.table import print_report
from infra.benches.report import as_expected, step
from lab_side.settings.config import AgentConfig

PEERS = ("persist-queue", "litequeue-full", "litequeue", "huey", "dirq")

DURABLE_PEERS = ("persist-queue", "litequeue-full")
"""Those that acknowledge and flush every step."""

EXPECTED = {
    "claims_vs_naive": ("at least", 50.0),
    "cycles_vs_best_durable_peer": ("at least", 1.0),
    "history_ratio": ("at most", 1.1),
    "local_claim_p99_ms": ("at most", 50.0),
}

DEFAULT_SEED = 20_261_123


def main(arguments: Sequence[str]) -> int:
    """Measure and print; the exit code says whether it ran, not how fast."""
    options = _parser().parse_args(arguments)
    plan = Plan(
        rounds=options.rounds,
        block=options.block,
        run=options.run,
        history=options.history,
        backlog=options.backlog,
        doorbell_samples=options.samples,
        poll_samples=max(1, options.samples // 10),
        idle_samples=max(1, options.samples // 50),
        active_poll_s=options.poll,
        idle_poll_s=options.idle_poll,
        peers=() if options.no_peers else PEERS,
        seed=options.seed,
    )
    return run("queue", options, partial(measure, plan), print_report)


def measure(plan: Plan, folder: Path) -> dict[str, Any]:
    """Run every phase in ``folder``, which is empty; returns the report."""
    machine = describe_machine(folder)
    with step("side by side"):
        rivals = phases.side_by_side(plan, folder / "side-by-side")
    with step("beside the naive way"):
        growth = phases.growth(plan, folder / "growth")
    with step("history"):
        history = phases.history(plan, folder / "history")
        naive_full = phases.naive_history(plan, folder / "naive-history")
    with step("backlog"):
        backlog = phases.backlog(plan, folder / "backlog")
    with step("latency"):
        latency = {"doorbell": phases.doorbell_latency(plan, folder / "doorbell")}
        latency |= phases.polled_latencies(plan, folder / "scan")
    with step("cloud bucket"):
        cloud = phases.cloud(plan)
    machine["load_after"] = load()
    measured = {
        "side_by_side": rivals,
        "growth": growth,
        "history": history,
        "naive_claim_us_full_history": naive_full,
        "backlog_claim_us": backlog,
        "latency_ms": latency,
        "gcs_fake": cloud,
    }
    return {
        **heading("queue", plan.seed),
        "plan": {key: value for key, value in vars(plan).items() if key != "seed"},
        "machine": machine,
        **headlines(measured),
        **measured,
    }


def headlines(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The four figures, and whether each is what is expected; None where it was not measured."""
    rivals = measured["side_by_side"]
    peers = [kind for kind in DURABLE_PEERS if kind in rivals]
    best = min(peers, key=lambda kind: float(rivals[kind]["cycle_ratio"]), default=None)
    full = [float(measured["history"][kind]["cycle_ratio_to_relay"]) for kind in peers]
    steps = measured["growth"]
    naive, ours = (sum(step[f"{kind}_claim_us"] for step in steps) for kind in ("naive", "relay"))
    lower_bound = rivals["floor-files"]["cycle_ratio"]
    figures = {
        "claims_vs_naive": round(naive / ours, 1),
        "cycles_vs_best_durable_peer": None if best is None else rivals[best]["cycle_ratio"],
        "history_ratio": measured["history"]["relay"]["claim_ratio"],
        "local_claim_p99_ms": measured["latency_ms"]["doorbell"]["p99_ms"],
    }
    return {
        **figures,
        "best_durable_peer": best,
        "flush_floor_vs_best_durable_peer": (
            None if best is None else round(rivals[best]["cycle_ratio"] / lower_bound, 3)
        ),
        "cycles_vs_best_durable_peer_full_history": min(full, default=None),
        "as_expected": as_expected(EXPECTED, figures),
    }


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("queue", "The job queue beside other ways to do it.", seed=DEFAULT_SEED)
    parser.add_argument("--rounds", type=int, default=9, help="blocks of each (default: 9)")
    parser.add_argument("--block", type=int, default=40, help="jobs in a block (default: 40)")
    parser.add_argument(
        "--run", type=int, default=10_000, help="jobs in the run beside the naive way"
    )
    parser.add_argument(
        "--history", type=int, default=100_000, help="finished jobs in the full history"
    )
    parser.add_argument(
        "--backlog", type=int, default=400, help="jobs that wait when the clock starts"
    )
    parser.add_argument("--samples", type=int, default=200, help="claims timed for latency")
    parser.add_argument(
        "--poll",
        type=float,
        default=_agent_default("poll_seconds"),
        help="seconds between looks soon after activity (default: the agent's)",
    )
    parser.add_argument(
        "--idle-poll",
        type=float,
        default=_agent_default("idle_poll_seconds"),
        help="seconds between looks when idle (default: the agent's)",
    )
    return parser


def _agent_default(setting: str) -> float:
    return float(AgentConfig.model_fields[setting].default)
