"""The report of the queue bench as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from infra.benches.harness import Report
from infra.benches.report import figure_table

CONTENDERS = {
    "relay": ("SegRelay, directory", "yes", "submit and result; so all before them"),
    "naive": ("naive JSON files", "no", "nothing but the submit"),
    "persist-queue": ("persist-queue, SQLite ack", "yes", "every commit (WAL, FULL)"),
    "litequeue-full": ("litequeue, FULL", "yes", "every commit; not its default"),
    "litequeue": ("litequeue", "yes", "NOT DURABLE: only checkpoints"),
    "huey": ("huey SqliteStorage(fsync)", "no", "every commit; a taken job is deleted"),
    "dirq": ("dirq QueueSimple", "yes", "NOT DURABLE: nothing"),
    "floor-files": ("no queue: a file", "-", "file, folder: what our cycle flushes"),
    "floor-commits": ("no queue: 3 commits", "-", "3 commits (WAL, FULL): as a peer's cycle"),
}
"""Label, whether a worker that dies in a job leaves it to others, and what is flushed."""

LATENCIES = {
    "doorbell": "directory, doorbell (watchdog)",
    "scan": "directory, scan alone",
    "gcs_active": "fake cloud bucket, soon after activity",
    "gcs_idle": "fake cloud bucket, idle for long",
}


BACKLOGS = {
    "relay": "SegRelay, a scan before each claim",
    "relay-one-look": "SegRelay, one scan for all",
    "naive": "naive, the same",
}


def tables(report: Report) -> Iterator[RenderableType]:
    """One a phase."""
    yield _side_by_side(report["side_by_side"])
    yield figure_table(
        "finished so far",
        {
            "our claim µs": "relay_claim_us:.0f",
            "naive claim µs": "naive_claim_us:.0f",
            "ratio": "ratio:.1f",
        },
        {
            str(step["finished"]): {
                **step,
                "ratio": step["naive_claim_us"] / step["relay_claim_us"],
            }
            for step in report["growth"]
        },
    )
    yield figure_table(
        f"{report['plan']['backlog']} jobs wait at the start",
        {"claim µs": "us:.0f"},
        {BACKLOGS[kind]: {"us": us} for kind, us in report["backlog_claim_us"].items()},
    )
    yield _history(report)
    yield figure_table(
        "submit to claimed, ms",
        {
            "samples": "samples",
            **{name: f"{name}_ms:.1f" for name in ("mean", "p50", "p99", "max")},
        },
        {LATENCIES[name]: row for name, row in report["latency_ms"].items()},
    )
    cloud = report["gcs_fake"]
    yield (
        f"Fake cloud bucket, real client: {1e6 / cloud['claim_us']:.0f} claims/s, "
        f"{1e6 / cloud['cycle_us']:.0f} cycles/s, {cloud['requests_per_job']} requests a job, "
        "its submit included. No figure of the real service."
    )


def _side_by_side(phase: Report) -> RenderableType:
    rows = {}
    for kind, row in phase.items():
        label, acknowledges, flushed = CONTENDERS[kind]
        rows[label] = {
            **row,
            "claims": row["claim_us"] and 1e6 / row["claim_us"],
            "cycles": 1e6 / row["cycle_us"],
            "acknowledges": acknowledges,
            "flushed": flushed,
        }
    columns = {
        "claims/s": "claims:.0f",
        "cycles/s": "cycles:.0f",
        "cycle time to ours": "cycle_ratio:.2f",
        "acknowledges": "acknowledges",
        "flushed": "flushed",
    }
    return figure_table("no history", columns, rows, left=("acknowledges", "flushed"))


def _history(report: Report) -> RenderableType:
    rows = {CONTENDERS[kind][0]: row for kind, row in report["history"].items()}
    rows[CONTENDERS["naive"][0]] = {"claim_us_full": report["naive_claim_us_full_history"]}
    columns = {
        "claim µs, 0": "claim_us_empty:.0f",
        "claim µs, full": "claim_us_full:.0f",
        "claim ratio": "claim_ratio:.2f",
        "cycle ratio": "cycle_ratio:.2f",
        "cycle time to ours, full": "cycle_ratio_to_relay:.2f",
    }
    return figure_table(f"0 and {report['plan']['history']} finished", columns, rows)
