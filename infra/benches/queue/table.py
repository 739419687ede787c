"""The report of the queue bench as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from rich.console import RenderableType

from infra.benches.harness import Report
from infra.benches.report import figure_table

CONTENDERS = {
    "relay": ("SegRelay, directory", "yes", "submit and result; so all before them"),
    "naive": ("naive JSON files", "no", "nothing but the submit"),
    "persist-queue": ("persist-queue, SQLite ack", "yes", "every commit (WAL, FULL)"),
    "litequeue-full": ("litequeue, FULL", "yes", "every commit; not its default"),
    "litequeue": ("litequeue", "yes", "NOT DURABLE: only checkpoints"),
    "relay-gcs": ("SegRelay, fake cloud bucket", "yes", "the fake: nothing"),
    "relay-site": ("SegRelay, the site's database", "yes", "every commit of PostgreSQL"),
    "relay-redis": ("SegRelay, Redis", "yes", "every change (appendfsync always)"),
    "rq": ("rq", "yes", "the same Redis"),
    "saq": ("saq", "yes", "the same Redis"),
    "arq": ("arq", "yes", "the same Redis"),
    "dramatiq": ("dramatiq", "yes", "the same Redis"),
    "huey-redis": ("huey RedisStorage", "no", "the same Redis; a taken job is deleted"),
    "jqueue": ("jqueue, file", "yes", "NOT DURABLE: nothing; written in place"),
    "jqueue-flushed": ("jqueue, file, flushed", "yes", "every write; not its default"),
    "jqueue-gcs": ("jqueue, fake cloud bucket", "yes", "the fake: nothing"),
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
    """One a phase that was measured."""
    for phase, table in TABLES.items():
        if phase in report:
            yield table(report)


def _growth(report: Report) -> RenderableType:
    columns = {
        "our claim µs": "relay_claim_us:.0f",
        "naive claim µs": "naive_claim_us:.0f",
        "ratio": "ratio:.1f",
    }
    rows = {
        str(step["finished"]): {**step, "ratio": step["naive_claim_us"] / step["relay_claim_us"]}
        for step in report["growth"]
    }
    return figure_table("finished so far", columns, rows)


def _backlog(report: Report) -> RenderableType:
    title = f"{report['plan']['backlog']} jobs wait at the start"
    rows = {BACKLOGS[kind]: {"us": us} for kind, us in report["backlog_claim_us"].items()}
    return figure_table(title, {"claim µs": "us:.0f"}, rows)


def _latency(rows: Report, labels: Mapping[str, str]) -> RenderableType:
    columns = {"samples": "samples"}
    columns |= {name: f"{name}_ms:.1f" for name in ("mean", "p50", "p99", "max")}
    return figure_table(
        "submit to claimed, ms", columns, {labels[name]: row for name, row in rows.items()}
    )


def _cloud(report: Report) -> RenderableType:
    cloud = report["gcs_fake"]
    return (
        f"Fake cloud bucket, real client: {1e6 / cloud['claim_us']:.0f} claims/s, "
        f"{1e6 / cloud['cycle_us']:.0f} cycles/s, {cloud['requests_per_job']} requests a job, "
        "its submit included. No figure of the real service."
    )


def _stores(report: Report, phase: str, title: str) -> RenderableType:
    rows = _with_rates(report[phase])
    columns = {
        "cycles/s": "cycles:.1f",
        "time to our Redis": "ratio_to_redis:.2f",
        "time to our directory": "ratio_to_directory:.2f",
        "acknowledges": "acknowledges",
        "flushed": "flushed",
    }
    return figure_table(title, columns, rows, left=("acknowledges", "flushed"))


def _stores_history(report: Report) -> RenderableType:
    columns = {
        "cycle µs, few": "cycle_us_few:.0f",
        "cycle µs, full": "cycle_us_full:.0f",
        "ratio": "cycle_ratio:.2f",
    }
    rows = {CONTENDERS[kind][0]: row for kind, row in report["stores_history"].items()}
    return figure_table(f"few and {report['plan']['history']} ended", columns, rows)


def _stores_idle(report: Report) -> RenderableType:
    columns = {
        "requests an hour, each": "requests_per_hour:.0f",
        "agents": "agents",
        "cores": "cores:.3f",
    }
    rows = {CONTENDERS[kind][0]: row for kind, row in report["stores_idle"].items()}
    return figure_table("nothing to do", columns, rows)


def _with_rates(phase: Report) -> dict[str, Report]:
    """The rows of a phase by label, with cycles a second and what each contender does."""
    rows = {}
    for kind, row in phase.items():
        label, acknowledges, flushed = CONTENDERS[kind]
        rows[label] = {
            **row,
            "cycles": 1e6 / row["cycle_us"],
            "acknowledges": acknowledges,
            "flushed": flushed,
        }
    return rows


def _side_by_side(phase: Report) -> RenderableType:
    rows = _with_rates(phase)
    for row in rows.values():
        row["claims"] = row["claim_us"] and 1e6 / row["claim_us"]
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


_LABELS = {kind: row[0] for kind, row in CONTENDERS.items()}

TABLES: Mapping[str, Callable[[Report], RenderableType]] = {
    "side_by_side": lambda report: _side_by_side(report["side_by_side"]),
    "growth": _growth,
    "backlog_claim_us": _backlog,
    "history": _history,
    "latency_ms": lambda report: _latency(report["latency_ms"], LATENCIES),
    "gcs_fake": _cloud,
    "stores": lambda report: _stores(report, "stores", "with the submit"),
    "stores_backlog": lambda report: _stores(
        report, "stores_backlog", f"the same, {report['plan']['backlog']} wait at the start"
    ),
    "stores_latency_ms": lambda report: _latency(report["stores_latency_ms"], _LABELS),
    "stores_history": _stores_history,
    "stores_idle": _stores_idle,
}
"""By the key of what a phase adds to the report."""
