"""The report of the web bench as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from infra.benches.harness import Report
from infra.benches.report import figure_table

CONTENDERS = {
    "ours-cold": "SegRelay, a SEG it has not seen",
    "ours-cached": "SegRelay, once more",
    "calls": "a call per frame: PNGs, one connection",
    "calls-new": "a call per frame: PNGs, new connections",
    "bits": "a call per frame: bits without a place",
    "rgba": "one file, RGBA PNGs in JSON",
    "highdicom": "one file, highdicom's reader",
}

OVERLAYS = {"tumour": "one lesion", "every-slice": "something in every slice"}

SIZES = {"brats": "BraTS", "breast": "breast"}


def tables(report: Report) -> Iterator[RenderableType]:
    """One a phase."""
    frames = report["frames"]
    yield figure_table(
        f"masks of a SEG of {frames['frames']} frames",
        {"ms": "ms:.1f", "to ours, cold": "to_ours_cold:.2f", "answer, KiB": "answer_kib:.0f"},
        {CONTENDERS[kind]: row for kind, row in frames["contenders"].items()},
    )
    columns = {
        "slices": "slices",
        "page": "page_kib:.1f",
        "labels": "labels_kib:.1f",
        "PNGs": "png_kib:.1f",
        "frames": "frames_json_kib:.1f",
        "RGBA JSON": "rgba_json_kib:.1f",
    }
    rows = {OVERLAYS[kind]: row for kind, row in report["overlay"].items()}
    yield figure_table("overlay of a case, KiB", columns, rows)
    rows = {}
    for size, row in report["first_image"].items():
        shape = " x ".join(map(str, row["shape"]))
        ours, theirs = row["ours_ms"] / 1000, row["niivue_ms"] and row["niivue_ms"] / 1000
        rows[f"{SIZES[size]}: {shape}"] = {**row, "ours_s": ours, "niivue_s": theirs}
    columns = {
        "SegRelay, s": "ours_s:.2f",
        "NiiVue, s": "niivue_s:.2f",
        "NiiVue to ours": "niivue_vs_ours:.1f",
    }
    yield figure_table("first image in four panes", columns, rows)
    if report["niivue"]["reason"]:
        yield f"No NiiVue: {report['niivue']['reason']}."
