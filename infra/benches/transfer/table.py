"""The report of the transfer bench as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from infra.benches.harness import Report
from infra.benches.report import figure_table

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


def tables(report: Report) -> Iterator[RenderableType]:
    """One a phase and line, for the phases that ran."""
    for phase, title in STUDIES.items():
        for name, line in report.get(phase, {}).items():
            yield _downloads(f"{title}, {_line(report, name)}", line)
    if "upload" in report:
        yield _uploads(report)
    for phase, threads in SUSTAINED.items():
        if phase in report:
            yield _sustained(report[phase], threads)
    if "line_alone" in report:
        columns = {
            "Mbit/s": "mbit:.0f",
            "to limit": "to_limit:.2f",
            "connect + 1 byte, ms": "connect_and_one_byte_ms:.1f",
            "CPU s a GB": "cpu_s_per_gb:.2f",
        }
        rows = {_line(report, name): row for name, row in report["line_alone"].items()}
        yield figure_table("the line alone, one connection", columns, rows)
    if "folder_alone" in report:
        alone = report["folder_alone"]
        yield (
            f"The folder alone: {alone['files']} files are written in {alone['files_s']:.3f} s, "
            f"their bytes into one file in {alone['one_file_s']:.3f} s."
        )


def _downloads(title: str, line: Report) -> RenderableType:
    size = f"{line['instances']} instances, {line['bytes'] / 1e6:.1f} MB"
    limit = "" if line["limit_s"] is None else f"; byte limit {line['limit_s']:.2f} s"
    columns = {
        "s": "seconds:.2f",
        "runs": "runs",
        "to ours": "to_ours:.2f",
        "to limit": "to_limit:.2f",
        "client CPU s": "client_cpu_s:.2f",
        "server CPU s": "server_cpu_s:.2f",
    }
    rows = {CONTENDERS[kind]: row for kind, row in line["contenders"].items()}
    return figure_table(f"{title}: {size}{limit}", columns, rows)


def _uploads(report: Report) -> RenderableType:
    upload = report["upload"]
    size = f"{upload['bytes'] / 1e6:.2f} MB, {upload['gzip_bytes'] / 1e3:.0f} kB deflated"
    columns = {
        "s": "seconds:.3f",
        "runs": "runs",
        "plain POST to this": "plain_to_this:.2f",
        "client CPU s": "client_cpu_s:.3f",
        "server CPU s": "server_cpu_s:.3f",
    }
    rows = {CONTENDERS[kind]: row for kind, row in upload["contenders"].items()}
    return figure_table(f"SEG of {size}, {_line(report, 'upload20')}", columns, rows)


def _sustained(run: Report, threads: str) -> RenderableType:
    title = (
        f"{run['jobs']} jobs at once, {threads}: a result every {run['period_s']:.2f} s, "
        f"{run['vs_slowest_stage']:.2f} of what the slowest stage alone allows"
    )
    rows = {}
    for name, seconds in run["stages_alone_s"].items():
        label = f"{name} (slowest)" if name == run["slowest_stage"] else name
        together = f"{run['stages_together_s'][name]:.2f}"
        rows[label] = {"first": f"{seconds:.2f}", "second": together}
    for who in ("agent", "worker"):
        first, second = run[f"{who}_peak_mib"]
        label = f"{who}: peak MiB, first half and second"
        rows[label] = {"first": f"{first:.0f}", "second": f"{second:.0f}"}
    return figure_table(title, {"alone, s": "first", "together, s": "second"}, rows)


def _line(report: Report, name: str) -> str:
    profile = report["plan"]["lines"].get(name)
    if profile is None:
        return {"loopback": "loopback, no proxy", "unlimited": "no limits"}[name]
    return f"{profile['rtt_ms']:g} ms, {profile['mbit']:g} Mbit"
