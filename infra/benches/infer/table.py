"""The report of the infer bench as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from infra.benches.report import headline_table, machine_line, make_console, make_table


def print_report(report: Mapping[str, Any]) -> None:
    """Print every phase."""
    console = make_console()
    console.print(machine_line(report), markup=False)
    console.print(headline_table(report))
    brain, job = report["brain"], report["breast_job"]
    console.print(_steps("a case of BraTS' size, s", brain["ours_s"], brain["plain_s"]))
    console.print(_steps("a breast job, s", job["ours_s"], job["plain_s"]))
    console.print(
        f"Matrix product {report['sgemm_gflops']} GFLOP/s; the brain's box takes "
        f"{brain['box_tflop']} TFLOP; the whole case {brain['whole_vs_plain']} times faster; "
        f"its network by OpenVINO {brain['openvino_network_s']} s. "
        f"One window of SwinUNETR {report['swinunetr_s']}; on one thread, CPU: "
        f"{report['swinunetr_one_thread_cpu_s']}; logits differ by at most "
        f"{report['swinunetr_largest_difference']:.1e}. Reading, CPU: {report['reading_cpu_s']}. "
        f"{_seg('SEG', report['seg'])} {_seg('SEG of a large lesion', report['seg_large'])}",
        markup=False,
    )


def _seg(title: str, seg: Mapping[str, Any]) -> str:
    return (
        f"{title}, {seg['lesion_voxels']} voxels in {seg['frames']} frames: CPU {seg['cpu_s']} "
        f"({seg['write_vs_naive_cpu']} times less), bytes {seg['bytes']} "
        f"({seg['size_vs_naive']} times less)."
    )


def _steps(title: str, ours: Mapping[str, float], plain: Mapping[str, float]) -> Table:
    table = make_table(title, "SegRelay", "plain")
    for name in dict.fromkeys([*ours, *plain]):
        table.add_row(name, *(_number(side.get(name)) for side in (ours, plain)))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
