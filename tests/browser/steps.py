"""What a radiologist does on the page, and what the lab does meanwhile."""

from __future__ import annotations

import os

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from segrelay.manifest import SegmentMeasurement
from segrelay.queue import Claim
from tests.browser.canvas import wait_drawn
from tests.browser.studies import KnownSeg, Stored
from tests.support.paths import ROOT
from tests.unit.gcp_side.fakes import FakeAgent, succeeded

SCREENS = ROOT / "build" / "screens"
SIZES = ((1280, 800), (1920, 1080))
PICTURES_VARIABLE = "SEGRELAY_TEST_PICTURES"
"""Set, the tests leave pictures; each costs a redraw at its size and a PNG."""


def shoot(page: Page, name: str) -> None:
    """Write a picture of the page in both sizes where pictures are wanted."""
    if PICTURES_VARIABLE not in os.environ:
        return
    for width, height in reversed(SIZES):
        page.set_viewport_size({"width": width, "height": height})
        wait_drawn(page)
        take_picture(page, f"{name}-{width}")


def take_picture(page: Page, name: str, *, full_page: bool = False) -> None:
    """Write what the page shows now to ``build/screens`` where pictures are wanted."""
    if PICTURES_VARIABLE in os.environ:
        SCREENS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(SCREENS / f"{name}.png"), full_page=full_page)


def open_study(page: Page, stored: Stored) -> None:
    """Open a study and choose its four series."""
    page.goto(f"/segmentation/studies/{stored.study}/")
    for number, series in enumerate(stored.series):
        page.locator(f"#role-dce-{number}").select_option(series)
    wait_loaded(page)


def wait_loaded(page: Page) -> None:
    """Wait until all four panes show all they have."""
    for pane in page.locator(".pane").all():
        expect(pane.locator(".slice")).not_to_be_empty()
        expect(pane.locator(".note")).to_be_empty()


def send(page: Page, agent: FakeAgent, *, confirm: bool = False) -> Claim:
    """Press the button, say yes to what contradicts, and let the lab take the job."""
    page.locator("#send").click()
    if confirm:
        page.locator("#confirm-yes").click()
    expect(page.locator("#task-text")).not_to_be_empty()
    claim, _ = agent.claim()
    return claim


def find(page: Page, agent: FakeAgent, known: KnownSeg, *, confirm: bool = False) -> None:
    """Press the button, and let the lab find what the SEG says."""
    deliver(page, agent, send(page, agent, confirm=confirm), known)


def deliver(page: Page, agent: FakeAgent, claim: Claim, known: KnownSeg) -> None:
    """Let the lab end a job with this SEG; wait until the page shows it."""
    measured = SegmentMeasurement(
        number=1,
        label="Tumour",
        voxels=int(known.mask.sum()),
        volume_ml=known.volume_ml,
        longest_diameter_mm=21.5,
    )
    result = succeeded(claim.job_id, agent.name, seg_id=known.seg)
    agent.queue.finish(claim, result.model_copy(update={"measurements": (measured,)}))
    expect(page.locator("#segments")).to_contain_text(volume(known))
    wait_loaded(page)


def volume(known: KnownSeg) -> str:
    """As the page writes it in English."""
    return f"{known.volume_ml:.2f} ml"


def choose_plane(page: Page, plane: str) -> None:
    """Press the plane's button."""
    page.get_by_role("button", name=plane.capitalize(), exact=True).click()
    expect(page.locator(".pane").first).to_have_attribute("data-plane", plane)


def look_for_barriers(page: Page) -> None:
    """Let axe-core look for what keeps people from using the page."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
