"""Phase: from opening a study to an image in each of four panes, beside NiiVue.

The site's process is a new one each time and has seen nothing of the study; the browser has
cached nothing. NiiVue gets a page of its own, with the volumes as files that were made before.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser

from infra.benches.web import niivue
from infra.benches.web.browser import WATCH_PANES, chromium, first_images_ms, fresh_context, log_in
from infra.benches.web.scene import Scene

SLOW_MS = 10_000
"""A contender whose first run took longer is not run again: its runs differ by little."""

LEFT_OUT = "left out by --no-peers"


def first_image(scene: Scene) -> dict[str, Any]:
    """Both in turn, in a new order each round; the headline is the worse of the sizes."""
    script, reason = niivue.fetch() if scene.plan.peers else (None, LEFT_OUT)
    with chromium() as browser:
        rows = {size: _size(scene, browser, size, script) for size in scene.plan.shapes}
    ratios = [row["niivue_vs_ours"] for row in rows.values() if row["niivue_ms"] is not None]
    return {
        "first_image": rows,
        "niivue": {"version": niivue.VERSION if script else None, "reason": reason or None},
        "first_image_vs_niivue": min(ratios) if ratios else None,
    }


def _size(scene: Scene, browser: Browser, size: str, script: Path | None) -> dict[str, Any]:
    study = scene.study_id(size)
    rng = scene.plan.rng(f"first image {size}")
    found: dict[str, list[float]] = {"ours": [], "niivue": []}
    with tempfile.TemporaryDirectory(dir=scene.folder) as folder:
        if script is not None:
            niivue.write_site(Path(folder), script, scene.phases(size))
        with niivue.serve(Path(folder)) as address:
            for _ in range(scene.plan.rounds):
                for kind in rng.sample(["ours", "niivue"], 2):
                    if kind == "ours":
                        found[kind].append(_ours(scene, browser, study))
                    elif script is not None and max(found[kind], default=0) < SLOW_MS:
                        found[kind].append(_niivue(browser, address))
    ours = median(found["ours"])
    theirs = median(found["niivue"]) if found["niivue"] else None
    return {
        "shape": [4, *scene.plan.shapes[size]],
        "ours_ms": round(ours),
        "ours_runs": len(found["ours"]),
        "niivue_ms": None if theirs is None else round(theirs),
        "niivue_runs": len(found["niivue"]),
        "niivue_vs_ours": None if theirs is None else round(theirs / ours, 1),
    }


def _ours(scene: Scene, browser: Browser, study: str) -> float:
    with scene.site() as site, fresh_context(browser) as context:
        log_in(context, site)
        address = f"{site.url}/segmentation/studies/{study}/"
        return first_images_ms(context, address, watch=WATCH_PANES)


def _niivue(browser: Browser, address: str) -> float:
    with fresh_context(browser) as context:
        return first_images_ms(context, address)
