"""From a click in the page to the tumour drawn, in Chromium, split by stage.

The page is open and has drawn its images. Times of the page, of the agent's log and of this
program are those of one clock. A stage begins where the one before it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page

from infra.benches.harness import Report
from infra.benches.web.browser import (
    LIMIT_MS,
    WATCH_PANES,
    chromium,
    fresh_context,
    log_in,
)
from infra.benches.whole.relay import Relay
from infra.benches.whole.scene import WholeScene
from segrelay.stages import Stage

WATCH = """
performance.setResourceTimingBufferSize(10000);
addEventListener("click", (event) => {
  if (event.target.id === "send") globalThis.clickedAt = performance.timeOrigin + performance.now();
}, true);
globalThis.watchMask = () => {
  const painted = (canvas) => {
    const { width, height } = canvas;
    if (!width || !height) return false;
    const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    for (let at = 3; at < pixels.length; at += 4) if (pixels[at]) return true;
    return false;
  };
  const look = () => {
    if ([...document.querySelectorAll(".pane canvas.layer")].some(painted)) {
      globalThis.maskAt = performance.timeOrigin + performance.now();
    } else setTimeout(look, 20);
  };
  look();
};
"""
"""Notes when the button is pressed and when a pane has a mask; looks every 20 ms."""

READ_TIMES = """() => {
  const ends = (part) => performance.getEntriesByType("resource")
    .filter((one) => one.name.includes(part))
    .map((one) => performance.timeOrigin + one.responseEnd);
  return { clicked: clickedAt, answered: ends("/segment/")[0], finished: ends("/status/").at(-1),
           mask: maskAt };
}"""
"""Milliseconds since 1970."""

WORKER_STAGES = (
    Stage.READ,
    Stage.REGISTER,
    Stage.PREPROCESS,
    Stage.INFER,
    Stage.RESTORE,
    Stage.SEG,
)

NETWORK = Stage.INFER


def click_to_mask(scene: WholeScene, relay: Relay) -> Report:
    """As many clicks as the plan has rounds; medians by stage, and what is not the network.

    Raises
    ------
    FixConfigurationError
        ``chromium-missing``.
    """
    with chromium() as browser:
        found = [_one(scene, browser, relay) for _ in range(scene.plan.rounds)]
    names = dict.fromkeys(name for one in found for name in one)
    stages = {name: round(median(one.get(name, 0.0) for one in found), 3) for name in names}
    totals = [sum(one.values()) for one in found]
    overheads = [sum(one.values()) - one[NETWORK] for one in found]
    return {
        "click_to_mask_s": {"whole": round(median(totals), 3), **stages},
        "overhead_s": round(median(overheads), 3),
    }


def _one(scene: WholeScene, browser: Browser, relay: Relay) -> dict[str, float]:
    with fresh_context(browser) as context:
        log_in(context, relay.site.servers)
        page = context.new_page()
        page.add_init_script(WATCH_PANES + WATCH)
        page.goto(f"{relay.site.servers.url}/segmentation/studies/{scene.study_id}/")
        page.wait_for_function("() => globalThis.drawnAt", timeout=LIMIT_MS)
        page.wait_for_load_state("networkidle")
        job = _click(page)
        page.wait_for_function("() => globalThis.maskAt", timeout=LIMIT_MS)
        times: dict[str, float] = page.evaluate(READ_TIMES)
    scene.check_and_remove("the page's job")
    seen = {name: at / 1000 for name, at in times.items()}
    return split(seen, relay.events(job), relay.stages(job))


def _click(page: Page) -> str:
    with page.expect_response(lambda one: one.url.endswith("/segment/")) as answer:
        page.click("#send")
    body: dict[str, Any] = answer.value.json()
    page.evaluate("watchMask()")
    job: str = body["request_id"]
    return job


def split(
    page: Mapping[str, float], events: Mapping[str, float], stages: Mapping[str, float]
) -> dict[str, float]:
    """Seconds by stage; they add up to the time from the click to the mask.

    ``page`` has the times ``clicked``, ``answered``, ``finished`` and ``mask``, ``events`` those
    of the agent's log, ``stages`` the seconds of the agent's stages.
    """
    claimed, opened, written = (
        events[name] for name in ("job claimed", "job opened", "SEG written")
    )
    # The agent may hear of a job before the page has its answer.
    submitted = min(page["answered"], claimed)
    fetched = opened + stages[Stage.FETCH]
    worker = {str(name): stages[name] for name in WORKER_STAGES if name in stages}
    delivered = min(written + stages[Stage.UPLOAD], page["finished"])
    marks = (page["clicked"], submitted, claimed, opened, fetched)
    first = dict(
        zip(
            ("submit", "seen", "claim", str(Stage.FETCH)),
            (b - a for a, b in pairwise(marks)),
            strict=True,
        )
    )
    return {
        **first,
        **worker,
        "between": written - fetched - sum(worker.values()),
        "deliver": delivered - written,
        "seen by the site": page["finished"] - delivered,
        "mask": page["mask"] - page["finished"],
    }
