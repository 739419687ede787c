"""The report of the transfer bench as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from infra.benches.report import headline_table, machine_line, make_console, make_table

CONTENDERS = {
    "naive": "naive: one requests.get an instance",
    "session": "requests.Session",
    "pyorthanc": "pyorthanc",
    "orthanc-api-client": "orthanc-api-client",
    "dicomweb-client": "dicomweb-client, WADO-RS",
    "ours": "SegRelay",
    "ours-pool": "SegRelay, made to use its pool",
    "ours-archive": "SegRelay, made to use archives",
    "plain-post": "requests.post of the bytes",
    "upload": "SegRelay, open connection",
    "upload-cold": "SegRelay, new connection",
}

STUDIES = {"downloads": "noisy images", "black_background": "black background"}

SUSTAINED = {"sustained": "one worker thread", "sustained_all_threads": "all worker threads"}


def print_report(report: Mapping[str, Any]) -> None:
    """Print every phase that ran."""
    console = make_console()
    console.print(machine_line(report), markup=False)
    console.print(headline_table(report))
    for phase, title in STUDIES.items():
        for name, line in report.get(phase, {}).items():
            console.print(_download_table(f"{title}, {_line(report, name)}", line))
    if "upload" in report:
        console.print(_upload_table(report))
    for phase, threads in SUSTAINED.items():
        if phase in report:
            console.print(_sustained_table(report[phase], threads))
    if "line_alone" in report:
        console.print(_line_table(report))
    if "folder_alone" in report:
        alone = report["folder_alone"]
        console.print(
            f"The folder alone: {alone['files']} files are written in {alone['files_s']:.3f} s, "
            f"their bytes into one file in {alone['one_file_s']:.3f} s."
        )


def _download_table(title: str, line: Mapping[str, Any]) -> Table:
    size = f"{line['instances']} instances, {line['bytes'] / 1e6:.1f} MB"
    limit = "" if line["limit_s"] is None else f"; byte limit {line['limit_s']:.2f} s"
    table = make_table(
        f"{title}: {size}{limit}",
        "s",
        "runs",
        "to ours",
        "to limit",
        "client CPU s",
        "server CPU s",
    )
    for kind, row in line["contenders"].items():
        table.add_row(
            CONTENDERS[kind],
            f"{row['seconds']:.2f}",
            str(row["runs"]),
            f"{row['to_ours']:.2f}",
            "-" if row["to_limit"] is None else f"{row['to_limit']:.2f}",
            f"{row['client_cpu_s']:.2f}",
            f"{row['server_cpu_s']:.2f}",
        )
    return table


def _upload_table(report: Mapping[str, Any]) -> Table:
    upload = report["upload"]
    size = f"{upload['bytes'] / 1e6:.2f} MB, {upload['gzip_bytes'] / 1e3:.0f} kB deflated"
    title = f"SEG of {size}, {_line(report, 'upload20')}"
    table = make_table(title, "s", "runs", "plain POST to this", "client CPU s", "server CPU s")
    for kind, row in upload["contenders"].items():
        table.add_row(
            CONTENDERS[kind],
            f"{row['seconds']:.3f}",
            str(row["runs"]),
            f"{row['plain_to_this']:.2f}",
            f"{row['client_cpu_s']:.3f}",
            f"{row['server_cpu_s']:.3f}",
        )
    return table


def _sustained_table(run: Mapping[str, Any], threads: str) -> Table:
    title = (
        f"{run['jobs']} jobs at once, {threads}: a result every {run['period_s']:.2f} s, "
        f"{run['vs_slowest_stage']:.2f} of what the slowest stage alone allows"
    )
    table = make_table(title, "alone, s", "together, s")
    for name, seconds in run["stages_alone_s"].items():
        label = f"{name} (slowest)" if name == run["slowest_stage"] else name
        table.add_row(label, f"{seconds:.2f}", f"{run['stages_together_s'][name]:.2f}")
    for who in ("agent", "worker"):
        first, second = run[f"{who}_peak_mib"]
        table.add_row(f"{who}: peak MiB, first half and second", f"{first:.0f}", f"{second:.0f}")
    return table


def _line_table(report: Mapping[str, Any]) -> Table:
    table = make_table(
        "the line alone, one connection", "Mbit/s", "to limit", "connect + 1 byte, ms", "CPU s a GB"
    )
    for name, row in report["line_alone"].items():
        table.add_row(
            _line(report, name),
            f"{row['mbit']:.0f}",
            "-" if row["to_limit"] is None else f"{row['to_limit']:.2f}",
            f"{row['connect_and_one_byte_ms']:.1f}",
            f"{row['cpu_s_per_gb']:.2f}",
        )
    return table


def _line(report: Mapping[str, Any], name: str) -> str:
    profile = report["plan"]["lines"].get(name)
    if profile is None:
        return {"loopback": "loopback, no proxy", "unlimited": "no limits"}[name]
    return f"{profile['rtt_ms']:g} ms, {profile['mbit']:g} Mbit"
