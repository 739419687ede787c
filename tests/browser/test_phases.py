"""The viewer leafs through all phases of an examination, also those that play no role."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser import canvas
from tests.browser.steps import deliver, look_for_barriers, open_study, send, shoot, wait_loaded
from tests.browser.studies import Stored
from tests.unit.gcp_side.fakes import FakeAgent

pytestmark = pytest.mark.django_db(transaction=True)

PANE = 1
"""The active one: the first phase after contrast."""

TEXTS = {
    "en": {
        2: "phase 2 of 12 · trigger time 75 s · used as After contrast, phase 1",
        7: "phase 7 of 12 · trigger time 450 s · not used",
    },
    "ko": {
        2: "시기 2/12 · 트리거 시간 75초 · 용도: 조영 후 1기",
        7: "시기 7/12 · 트리거 시간 450초 · 사용 안 함",
    },
}


def leaf(page: Page, times: int, key: str = "n") -> None:
    """Press the key of the next phase so many times."""
    page.locator(".pane").nth(PANE).focus()
    for _ in range(times):
        page.keyboard.press(key)


def value_at_cursor(page: Page) -> float:
    """Of the active pane's voxel under the crosshair."""
    found = re.search(r"[\d,.]+", page.locator("#value").inner_text())
    assert found is not None
    return float(found[0].replace(",", ""))


@pytest.mark.parametrize("language", TEXTS)
def test_from_phase_to_phase_before_and_after_a_job(
    page: Page, many_phases: Stored, agent: FakeAgent, language: str
) -> None:
    (known,) = many_phases.segs
    page.goto(f"/segmentation/studies/{many_phases.study}/")
    if language == "ko":
        page.get_by_role("button", name="한국어").click()
    shown = page.locator("#phase-text")
    expect(shown).to_have_text(TEXTS[language][2])
    wait_loaded(page)
    slice_before = page.locator(".pane .slice").nth(PANE).inner_text()
    leaf(page, 5)
    expect(shown).to_have_text(TEXTS[language][7])
    expect(page.locator("#phase")).to_have_attribute("aria-valuetext", TEXTS[language][7])
    wait_loaded(page)
    assert page.locator(".pane .slice").nth(PANE).inner_text() == slice_before
    seventh = value_at_cursor(page)
    page.locator("#phase-after").click()
    wait_loaded(page)
    # Each later phase is one brighter than the one before.
    assert value_at_cursor(page) == seventh + 1
    shoot(page, f"phases-{language}")
    look_for_barriers(page)
    page.locator("#phase-home").click()
    expect(shown).to_have_text(TEXTS[language][2])
    expect(page.locator("#phase-home")).to_be_hidden()
    deliver(page, agent, send(page, agent), known)
    page.locator("#jump").click()
    drawn = canvas.read(page, PANE)
    leaf(page, 5)
    expect(shown).to_have_text(TEXTS[language][7])
    wait_loaded(page)
    again = canvas.read(page, PANE)
    assert drawn.covered.any()
    assert drawn.slice == again.slice
    assert np.array_equal(drawn.pixels, again.pixels)
    shoot(page, f"phases-result-{language}")
    look_for_barriers(page)


def test_who_leafs_through_fetches_no_volume_on_the_way(page: Page, many_phases: Stored) -> None:
    page.goto(f"/segmentation/studies/{many_phases.study}/")
    wait_loaded(page)
    asked: list[str] = []

    def hear(request: Request) -> None:
        asked.append(request.url.partition("/series/")[2].partition(":")[2])

    page.on("request", hear)
    with page.expect_response(lambda answer: answer.url.endswith(":11/volume/")):
        leaf(page, 10)
    wait_loaded(page)
    page.wait_for_timeout(1000)
    volumes = {path.partition("/")[0] for path in asked if path.endswith("/volume/")}
    assert volumes == {"11"}
    page.keyboard.press("p")
    expect(page.locator("#phase-text")).to_contain_text("phase 11 of 12")
    wait_loaded(page)
    assert asked.count("10/volume/") == 1


def test_phases_in_series_of_their_own(page: Page, stored: Stored) -> None:
    open_study(page, stored)
    page.locator(".pane").nth(PANE).focus()
    page.locator("#phase").press("End")
    shown = page.locator("#phase-text")
    expect(shown).to_contain_text("phase 4 of 4")
    expect(shown).to_contain_text("used as After contrast, phase 3")
    wait_loaded(page)
    expect(page.locator(".pane .title").nth(PANE)).to_contain_text("After contrast, phase 3")
    third, fourth = canvas.read(page, PANE, "image"), canvas.read(page, 3, "image")
    assert np.array_equal(third.pixels, fourth.pixels)
    page.locator("#phase").press("Home")
    expect(shown).to_contain_text("used as Before contrast")
    expect(page.locator("#phase-before")).to_be_disabled()
    # As a keyboard of Hangul sends it.
    page.locator("#phase").dispatch_event("keydown", {"key": "ㅜ", "code": "KeyN", "bubbles": True})
    expect(shown).to_contain_text("phase 2 of 4")


@pytest.mark.parametrize("language", TEXTS)
def test_nothing_is_cut_off_on_a_small_screen(
    page: Page, many_phases: Stored, language: str
) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    page.goto(f"/segmentation/studies/{many_phases.study}/")
    if language == "ko":
        page.get_by_role("button", name="한국어").click()
    expect(page.locator("#phase-text")).to_have_text(TEXTS[language][2])
    wait_loaded(page)
    leaf(page, 5)
    page.keyboard.press("4")
    expect(page.locator("#which")).to_be_visible()
    for place in ("#phase-home", ".status strong", "#help", "#which"):
        box = page.locator(place).bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 1024
    look_for_barriers(page)
