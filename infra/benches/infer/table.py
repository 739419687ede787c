"""The report of the infer bench as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from infra.benches.harness import Report
from infra.benches.report import figure_table


def tables(report: Report) -> Iterator[RenderableType]:
    """Steps of the two cases, and the other figures in words."""
    brain, job = report["brain"], report["breast_job"]
    yield _steps("a case of BraTS' size, s", brain["ours_s"], brain["plain_s"])
    yield _steps("a breast job, s", job["ours_s"], job["plain_s"])
    yield (
        f"Matrix product {report['sgemm_gflops']} GFLOP/s; the brain's box takes "
        f"{brain['box_tflop']} TFLOP; the whole case {brain['whole_vs_plain']} times faster; "
        f"its network by OpenVINO {brain['openvino_network_s']} s. "
        f"One window of SwinUNETR {report['swinunetr_s']}; on one thread, CPU: "
        f"{report['swinunetr_one_thread_cpu_s']}; logits differ by at most "
        f"{report['swinunetr_largest_difference']:.1e}. Reading, CPU: {report['reading_cpu_s']}. "
        f"{_seg('SEG', report['seg'])} {_seg('SEG of a large lesion', report['seg_large'])}"
    )


def _seg(title: str, seg: Report) -> str:
    return (
        f"{title}, {seg['lesion_voxels']} voxels in {seg['frames']} frames: CPU {seg['cpu_s']} "
        f"({seg['write_vs_naive_cpu']} times less), bytes {seg['bytes']} "
        f"({seg['size_vs_naive']} times less)."
    )


def _steps(title: str, ours: Report, plain: Report) -> RenderableType:
    rows = {
        name: {"ours": ours.get(name), "plain": plain.get(name)}
        for name in dict.fromkeys([*ours, *plain])
    }
    return figure_table(title, {"SegRelay": "ours:.2f", "plain": "plain:.2f"}, rows)
