"""The report of the whole bench as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType

from infra.benches.harness import Report
from infra.benches.report import figure_table
from infra.benches.whole.measure import CLOUD, ORTHANC

WORDS: Mapping[str, str] = {
    "directory": "ours, directory",
    "site": "ours, site's queue",
    "bucket": "ours, fake bucket",
    "wan10": "ours, site, 10 ms",
    "wan30": "ours, site, 30 ms",
    "seed": "naive script",
    "mosec": "Mosec",
    "monailabel": "MONAI Label",
}

_TIME = {
    "s": "seconds:.2f",
    "runs": "runs",
    "CPU s, cloud": "cloud_cpu:.2f",
    "Orthanc": "orthanc_cpu:.2f",
    "else": "else_cpu:.1f",
}

_SPACE = {
    "MiB, cloud": "cloud_mib:.0f",
    "Orthanc": "orthanc_mib:.0f",
    "else": "else_mib:.0f",
    "MB, loopback": "loopback_mb:.0f",
    "lines": "line_mb:.0f",
}


def tables(report: Report) -> Iterator[RenderableType]:
    """Systems, what they use, the steps of each, and the page."""
    if "one_job" in report:
        rows = _rows(report["one_job"])
        yield figure_table("one job", _TIME, rows)
        yield figure_table("one job", _SPACE, rows)
        yield from (f"{WORDS[name]}: {why}" for name, why in report["left_out"].items())
        steps = {name: row["steps_s"] for name, row in report["one_job"].items() if row["steps_s"]}
        yield "\n".join(
            f"{WORDS[name]}, steps in s: {_in_words(row)}" for name, row in steps.items()
        )
    if "several_jobs" in report:
        yield figure_table("several at once", _TIME, _rows(report["several_jobs"]))
    if "click_to_mask_s" in report:
        yield f"From click to mask in s: {_in_words(report['click_to_mask_s'])}"


def _rows(found: Mapping[str, Report]) -> dict[str, Report]:
    return {WORDS[name]: _row(row) for name, row in found.items()}


def _row(row: Report) -> Report:
    cpu, memory = row["cpu_s"], row["peak_mib"]
    return {
        **row,
        "cloud_cpu": cpu.get(CLOUD),
        "orthanc_cpu": cpu[ORTHANC],
        "else_cpu": _else(cpu),
        "cloud_mib": memory.get(CLOUD),
        "orthanc_mib": memory[ORTHANC],
        "else_mib": _else(memory),
    }


def _else(by_tree: Mapping[str, float]) -> float | None:
    found = [value for name, value in by_tree.items() if name not in (CLOUD, ORTHANC)]
    return sum(found) if found else None


def _in_words(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())
