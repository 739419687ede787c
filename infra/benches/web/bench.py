"""``infra/bench web``: what the radiologist's page waits for, beside other ways, in one run.

A real Orthanc and the site under gunicorn, on this machine. In a run every contender comes once
a round, in a new order; a figure is the median of the rounds, a ratio that of the rounds' ratios.

Frames: a SEG of three segments in each of 155 slices, 465 frames. The site is asked for its
``frames`` over HTTP as a logged-in page asks, so its figures hold sign-in, permissions and JSON:
a SEG that it has not seen, then the same once more. A call per frame fetches each mask from
Orthanc as a PNG (``preview``) and the tags that place them, which is what the endpoint answers;
beside it the bare bits of each frame (``raw``), which no page can show. RGBA JSON: one file, read
by pydicom, and a coloured PNG for each slice. highdicom: one file and its arrays by source image.
Masks are compared: the voxels of all segments, or of each slice.

Overlay: bytes on the way of what the page loads (description and labels), of the same slices as
palette PNGs, as the answer of ``frames`` and as RGBA JSON; for one lesion of 74 ml, and for
spindles that run through every slice.

First image: from opening the page of a study to an image in each of its four panes, at BraTS'
size and a breast's. The site's process is new and the browser's cache empty. NiiVue is the npm
package, in the same browser: four canvases with an axial slice, volumes ready as compressed NIfTI
files. Chromium draws WebGL in software here; with a graphics card NiiVue is much faster, and the
figures say nothing of that.

=========================  ================================================================
``frames_cold_vs_calls``   a call per frame (PNGs, one connection) / the site, not seen before
``frames_cached_ms``       the site's answer once more, milliseconds with HTTP
``overlay_kib``            what the page loads for one lesion
``first_image_vs_niivue``  NiiVue's time / the page's, the worse of the two sizes
=========================  ================================================================
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from infra.benches.command import heading, make_parser, run
from infra.benches.machine import describe_machine, load
from infra.benches.report import as_expected, step
from infra.benches.web.first import first_image
from infra.benches.web.frames import frames
from infra.benches.web.overlay import overlay
from infra.benches.web.scene import SHAPES, Plan, Scene
from infra.benches.web.table import print_report

PHASES: dict[str, Callable[[Scene], dict[str, Any]]] = {
    "frames": frames,
    "overlay": overlay,
    "first image": first_image,
}
"""Each returns what it adds to the report: its headline figures, and the rest under a key."""

EXPECTED = {
    "frames_cold_vs_calls": ("at least", 15.0),
    "frames_cached_ms": ("at most", 50.0),
    "overlay_kib": ("at most", 15.0),
    "first_image_vs_niivue": ("at least", 5.0),
}

QUICK_SHAPE = (24, 64, 64)

DEFAULT_SEED = 20261124


def main(arguments: Sequence[str]) -> int:
    """Measure and print; the exit code says whether it ran, not how fast."""
    options = _parser().parse_args(arguments)
    plan = Plan(
        rounds=1 if options.quick else options.rounds,
        peers=not options.no_peers,
        seed=options.seed,
        shapes=dict.fromkeys(SHAPES, QUICK_SHAPE) if options.quick else SHAPES,
    )
    return run("web", options, partial(measure, plan), print_report)


def measure(plan: Plan, folder: Path) -> dict[str, Any]:
    """Run every phase; returns the report."""
    machine = describe_machine(folder)
    measured: dict[str, Any] = {}
    with Scene(plan, folder) as scene:
        for name, phase in PHASES.items():
            with step(name):
                measured |= phase(scene)
    machine["load_after"] = load()
    return {
        **heading("web", plan.seed),
        "plan": {"rounds": plan.rounds, "shapes": dict(plan.shapes)},
        "machine": machine,
        "as_expected": as_expected(EXPECTED, measured),
        **measured,
    }


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("web", "The page's frames, overlays and first image.", seed=DEFAULT_SEED)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument(
        "--quick", action="store_true", help="one round of small series: not for figures"
    )
    return parser
