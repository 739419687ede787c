"""The whole story in a browser: send, watch, see the tumour where the truth is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from common.manifest import ResultStatus
from tests.browser.conftest import SCREENS, Stored
from tests.support.seg_study import BoolArray
from tests.unit.gcp_side.fakes import FakeAgent, ended

pytestmark = pytest.mark.django_db(transaction=True)

WAIT_MS = 60_000

LABELS = """async () => {
  // What was asked for is drawn with the next frame.
  for (let n = 0; n < 2; n++) await new Promise(requestAnimationFrame);
  const canvas = document.querySelector(".pane .layer");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const opacity = Array.from(pixels.data.filter((_, i) => i % 4 === 3));
  return { width: canvas.width, height: canvas.height, opacity };
}"""


def shoot(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    for width, height in ((1280, 800), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(400)
        page.screenshot(path=str(SCREENS / f"{name}-{width}.png"))
    page.set_viewport_size({"width": 1280, "height": 800})


def open_study(page: Page, stored: Stored) -> None:
    page.goto(f"/segmentation/studies/{stored.study}/")
    for number, series in enumerate(stored.series):
        page.locator(f"#role-dce-{number}").select_option(series, timeout=WAIT_MS)
    expect(page.locator(".pane").first.locator(".slice")).not_to_be_empty(timeout=WAIT_MS)


def result(page: Page, stored: Stored, agent: FakeAgent) -> None:
    """Send, and let the lab find the truth."""
    page.locator("#send").click()
    expect(page.locator("#task-text")).to_contain_text("waiting", timeout=WAIT_MS)
    claim, _ = agent.claim()
    agent.finish(claim, seg_id=stored.seg)
    expect(page.locator("#segments tr")).to_have_count(1, timeout=WAIT_MS)
    expect(page.locator(".pane .note").last).to_be_empty(timeout=WAIT_MS)


def test_from_the_button_to_the_overlay(page: Page, stored: Stored, agent: FakeAgent) -> None:
    page.goto("/segmentation/")
    expect(page.locator("#rows tr")).to_have_count(1, timeout=WAIT_MS)
    shoot(page, "studies-en")
    open_study(page, stored)
    shoot(page, "ready-en")
    page.locator("#send").click()
    expect(page.locator("#task-text")).to_contain_text("no agent", timeout=WAIT_MS)
    shoot(page, "waiting-en")
    claim, _ = agent.claim()
    agent.tell(claim, "downloading", 40, done=248, total=620)
    expect(page.locator("#task-text")).to_have_text("downloading 248/620 on lab-1", timeout=WAIT_MS)
    shoot(page, "downloading-en")
    agent.finish(claim, seg_id=stored.seg)
    expect(page.locator("#segments")).to_contain_text("1.50 ml", timeout=WAIT_MS)
    expect(page.locator(".pane .note").last).to_be_empty(timeout=WAIT_MS)
    shoot(page, "result-en")
    page.keyboard.press("4")
    shoot(page, "planes-en")
    assert Axe().run(page).violations_count == 0, Axe().run(page).generate_report()
    page.get_by_role("button", name="한국어").click()
    expect(page.locator("#send")).to_have_text("다시 분할", timeout=WAIT_MS)
    expect(page.locator("#segments")).to_contain_text("ml", timeout=WAIT_MS)
    expect(page.locator(".pane .note").last).to_be_empty(timeout=WAIT_MS)
    shoot(page, "result-ko")


def seen(page: Page) -> Any:
    """What the first pane's overlay shows: [height, width] opacities 0..255 of the canvas."""
    answer = page.evaluate(LABELS)
    return np.array(answer["opacity"], np.uint8).reshape(answer["height"], answer["width"])


@pytest.mark.parametrize(("plane", "axis"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_the_overlay_lies_on_the_truth(
    page: Page, stored: Stored, agent: FakeAgent, plane: str, axis: int
) -> None:
    open_study(page, stored)
    result(page, stored, agent)
    page.locator("#outline-on").uncheck()
    page.get_by_role("button", name=plane.capitalize(), exact=True).click()
    page.wait_for_function(f"document.querySelector('.pane').dataset.plane === '{plane}'")
    index = int(page.locator(".pane").first.get_attribute("data-slice") or -1)
    truth = expected(stored.mask, axis, index)
    assert truth.any()
    shown = seen(page)
    # The raster fills 96 % of the pane along one side, centred: found again from its aspect.
    rows, columns = truth.shape
    spacing = {0: (1.5, 1.5), 1: (3.0, 1.5), 2: (3.0, 1.5)}[axis]
    height_mm, width_mm = rows * spacing[0], columns * spacing[1]
    factor = min(shown.shape[1] / width_mm, shown.shape[0] / height_mm) * 0.96
    top, left = (shown.shape[0] - height_mm * factor) / 2, (shown.shape[1] - width_mm * factor) / 2
    y = np.rint(top + (np.arange(rows) + 0.5) * spacing[0] * factor - 0.5).astype(int)
    x = np.rint(left + (np.arange(columns) + 0.5) * spacing[1] * factor - 0.5).astype(int)
    found = shown[np.ix_(y, x)] > 0
    assert (found & truth).sum() >= 0.98 * truth.sum()
    assert not (found & ~truth).any()


def expected(mask: BoolArray, axis: int, index: int) -> BoolArray:
    """The phantom is axial and its axes grow to Left, Posterior, Superior: heads are up."""
    plane: BoolArray = np.take(mask, index, axis=axis)
    return plane if axis == 0 else plane[::-1]


def test_keys_cancel_failure_and_retry(page: Page, stored: Stored, agent: FakeAgent) -> None:
    open_study(page, stored)
    pane = page.locator(".pane").first
    pane.focus()
    before = int(pane.get_attribute("data-slice") or -1)
    page.keyboard.press("ArrowDown")
    expect(pane).to_have_attribute("data-slice", str(before + 1))
    page.mouse.move(500, 300)
    page.mouse.wheel(0, -100)
    expect(pane).to_have_attribute("data-slice", str(before))
    page.locator("#send").click()
    page.locator("#cancel").click()
    expect(page.locator("#task")).to_contain_text("cancelled", timeout=WAIT_MS)
    page.locator("#retry").click()
    agent.beat(state="paused", reason="Kim trains")
    expect(page.locator("#task-text")).to_contain_text("paused (Kim trains)", timeout=WAIT_MS)
    claim, _ = agent.claim()
    agent.desk.finish(claim, ended(claim.job_id, ResultStatus.FAILED))
    expect(page.locator("#task .is-failure")).to_contain_text("A slice", timeout=WAIT_MS)
    shoot(page, "failed-en")
