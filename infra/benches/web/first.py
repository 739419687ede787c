"""Phase: from opening a study to an image in each of four panes, beside NiiVue.

The site's process is a new one each time and has seen nothing of the study; the browser has
cached nothing. NiiVue gets a page of its own, with the volumes as files that were made before.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser

from infra.benches.harness import Report
from infra.benches.rounds import interleaved
from infra.benches.web import niivue
from infra.benches.web.browser import WATCH_PANES, chromium, first_images_ms, fresh_context, log_in
from infra.benches.web.scene import WebScene

LEFT_OUT = "left out by --no-peers"


def first_image(scene: WebScene) -> Report:
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


def _size(scene: WebScene, browser: Browser, size: str, script: Path | None) -> Report:
    study, folder = scene.study_id(size), scene.new_folder()
    if script is not None:
        niivue.write_site(folder, script, scene.study(size))
    with niivue.serve(folder) as address:
        contenders = {"ours": partial(_ours, scene, browser, study)}
        if script is not None:
            contenders["niivue"] = partial(_niivue, browser, address)
        found = interleaved(
            contenders,
            scene.plan.rounds,
            scene.plan.rng(f"first image {size}"),
            lambda kind: contenders[kind](),
            seconds=lambda milliseconds: milliseconds / 1000,
        )
    ours, theirs = median(found["ours"]), median(found.get("niivue", [0])) or None
    return {
        "shape": [4, *scene.plan.shapes[size]],
        "ours_ms": round(ours),
        "ours_runs": len(found["ours"]),
        "niivue_ms": theirs and round(theirs),
        "niivue_runs": len(found.get("niivue", ())),
        "niivue_vs_ours": theirs and round(theirs / ours, 1),
    }


def _ours(scene: WebScene, browser: Browser, study: str) -> float:
    with scene.site() as site, fresh_context(browser) as context:
        log_in(context, site)
        address = f"{site.url}/segmentation/studies/{study}/"
        return first_images_ms(context, address, watch=WATCH_PANES)


def _niivue(browser: Browser, address: str) -> float:
    with fresh_context(browser) as context:
        return first_images_ms(context, address)
