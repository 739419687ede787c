"""The report of the queue bench as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from infra.benches.report import headline_table, machine_line, make_console, make_table

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


def print_report(report: Mapping[str, Any]) -> None:
    """Print everything; widths follow the terminal."""
    console = make_console()
    console.print(machine_line(report), markup=False)
    for table in (
        _headlines(report),
        _side_by_side(report),
        _growth(report),
        _backlog(report),
        _history(report),
        _latency(report),
    ):
        console.print(table)
    cloud = report["gcs_fake"]
    console.print(
        f"Fake cloud bucket, real client: {_rate(cloud['claim_us'])} claims/s, "
        f"{_rate(cloud['cycle_us'])} cycles/s, {cloud['requests_per_job']} requests a job, "
        "its submit included. No figure of the real service."
    )


def _headlines(report: Mapping[str, Any]) -> Table:
    table = headline_table(report)
    for extra in ("flush_floor_vs_best_durable_peer", "cycles_vs_best_durable_peer_full_history"):
        table.add_row(extra, str(report[extra]), "-")
    return table


def _side_by_side(report: Mapping[str, Any]) -> Table:
    said = ("acknowledges", "flushed")
    table = make_table("no history", "claims/s", "cycles/s", "cycle time to ours", *said, left=said)
    for kind, row in report["side_by_side"].items():
        label, acknowledges, flushed = CONTENDERS[kind]
        table.add_row(
            label,
            "-" if row["claim_us"] is None else _rate(row["claim_us"]),
            _rate(row["cycle_us"]),
            f"{row['cycle_ratio']:.2f}",
            acknowledges,
            flushed,
        )
    return table


def _growth(report: Mapping[str, Any]) -> Table:
    table = make_table("finished so far", "our claim µs", "naive claim µs", "ratio")
    for step in report["growth"]:
        ours, naive = step["relay_claim_us"], step["naive_claim_us"]
        table.add_row(str(step["finished"]), f"{ours:.0f}", f"{naive:.0f}", f"{naive / ours:.1f}")
    return table


def _backlog(report: Mapping[str, Any]) -> Table:
    waiting = report["plan"]["backlog"]
    table = make_table(f"{waiting} jobs wait at the start", "claim µs")
    labels = {"relay": "SegRelay, a look before each claim", "naive": "naive, the same"}
    labels["relay-one-look"] = "SegRelay, one look for all"
    for kind, spent in report["backlog_claim_us"].items():
        table.add_row(labels[kind], f"{spent:.0f}")
    return table


def _history(report: Mapping[str, Any]) -> Table:
    finished = report["plan"]["history"]
    table = make_table(
        f"0 and {finished} finished",
        "claim µs, 0",
        "claim µs, full",
        "claim ratio",
        "cycle ratio",
        "cycle time to ours, full",
    )
    for kind, row in report["history"].items():
        table.add_row(
            CONTENDERS[kind][0],
            f"{row['claim_us_empty']:.0f}",
            f"{row['claim_us_full']:.0f}",
            f"{row['claim_ratio']:.2f}",
            f"{row['cycle_ratio']:.2f}",
            f"{row['cycle_ratio_to_relay']:.2f}",
        )
    spent = report["naive_claim_us_full_history"]
    table.add_row(CONTENDERS["naive"][0], "", f"{spent:.0f}", "", "", "")
    return table


def _latency(report: Mapping[str, Any]) -> Table:
    table = make_table("submit to claimed, ms", "samples", "mean", "p50", "p99", "max")
    for name, row in report["latency_ms"].items():
        figures = (row["mean_ms"], row["p50_ms"], row["p99_ms"], row["max_ms"])
        table.add_row(LATENCIES[name], str(row["samples"]), *(f"{value:.1f}" for value in figures))
    return table


def _rate(microseconds: float) -> str:
    return f"{1e6 / microseconds:.0f}"
