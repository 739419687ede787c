"""The report of the web bench as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from infra.benches.report import headline_table, machine_line, make_console, make_table

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


def print_report(report: Mapping[str, Any]) -> None:
    """Print every phase."""
    console = make_console()
    console.print(machine_line(report), markup=False)
    console.print(headline_table(report))
    console.print(_frames_table(report["frames"]))
    console.print(_overlay_table(report["overlay"]))
    console.print(_first_table(report["first_image"]))
    if report["niivue"]["reason"]:
        console.print(f"No NiiVue: {report['niivue']['reason']}.", markup=False)


def _frames_table(phase: Mapping[str, Any]) -> Table:
    title = f"masks of a SEG of {phase['frames']} frames"
    table = make_table(title, "ms", "to ours, cold", "answer, KiB")
    for kind, row in phase["contenders"].items():
        size = "-" if row["answer_kib"] is None else f"{row['answer_kib']:.0f}"
        table.add_row(CONTENDERS[kind], f"{row['ms']:.1f}", f"{row['to_ours_cold']:.2f}", size)
    return table


def _overlay_table(phase: Mapping[str, Any]) -> Table:
    table = make_table(
        "overlay of a case, KiB", "slices", "page", "labels", "PNGs", "frames", "RGBA JSON"
    )
    for kind, row in phase.items():
        sizes = ("page_kib", "labels_kib", "png_kib", "frames_json_kib", "rgba_json_kib")
        table.add_row(OVERLAYS[kind], str(row["slices"]), *(f"{row[size]:.1f}" for size in sizes))
    return table


def _first_table(phase: Mapping[str, Any]) -> Table:
    table = make_table("first image in four panes", "SegRelay, s", "NiiVue, s", "NiiVue to ours")
    for size, row in phase.items():
        shape = " x ".join(map(str, row["shape"]))
        theirs = row["niivue_ms"]
        table.add_row(
            f"{SIZES[size]}: {shape}",
            f"{row['ours_ms'] / 1000:.2f}",
            "-" if theirs is None else f"{theirs / 1000:.2f}",
            "-" if theirs is None else f"{row['niivue_vs_ours']:.1f}",
        )
    return table
