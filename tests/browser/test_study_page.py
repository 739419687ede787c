"""The whole story in a browser: send, watch, see the tumour; and the page in Korean."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from segrelay.offers import Offer
from segrelay.profiles import load_profile
from segrelay.stages import Stage
from tests.browser.steps import (
    deliver,
    find,
    look_for_barriers,
    open_study,
    shoot,
    volume,
    wait_loaded,
)
from tests.browser.studies import Stored
from tests.support.paths import ROOT
from tests.unit.gcp_side.fakes import FakeAgent

DEMO = ROOT / "lab_side" / "profiles" / "demo"

pytestmark = pytest.mark.django_db(transaction=True)


def test_from_the_button_to_the_result(page: Page, stored: Stored, agent: FakeAgent) -> None:
    (known,) = stored.segs
    page.goto("/segmentation/")
    page.get_by_role("link", name="Hong Gildong").click()
    expect(page.locator("#study-title")).to_contain_text("PHANTOM-4")
    open_study(page, stored)
    shoot(page, "ready-en")
    page.locator("#send").click()
    expect(page.locator("#task-text")).to_contain_text("no agent")
    expect(page.locator("#send")).to_be_disabled()
    claim, _ = agent.claim()
    agent.tell(claim, Stage.FETCH, 40, done=248, total=620)
    expect(page.locator("#task-text")).to_have_text("downloading 248/620 on lab-gpu-1")
    shoot(page, "downloading-en")
    deliver(page, agent, claim, known)
    expect(page.locator("#send")).to_have_text("Segment again")
    expect(page.locator("#warnings li")).to_have_text("slow")
    expect(page.locator("#history li")).to_have_count(1)
    shoot(page, "result-en")
    look_for_barriers(page)
    page.keyboard.press("4")
    expect(page.locator(".pane .title").last).to_contain_text("3D")
    shoot(page, "planes-en")
    look_for_barriers(page)


def test_the_page_in_korean(page: Page, stored: Stored, agent: FakeAgent) -> None:
    (known,) = stored.segs
    open_study(page, stored)
    find(page, agent, known)
    agent.heartbeat(offers=(Offer.of(load_profile(DEMO)),))
    page.get_by_role("button", name="한국어").click()
    expect(page.locator("#send")).to_have_text("다시 분할")
    page.locator("#choice summary").click()
    expect(page.locator("#why-dce-0")).to_contain_text("번째")
    shoot(page, "choice-ko")
    look_for_barriers(page)
    page.locator("#choice summary").click()
    expect(page.locator("#segments label")).to_have_text("종양")
    expect(page.locator("#history-box h2")).to_have_text("이력")
    expect(page.locator("#segments")).to_contain_text(volume(known))
    wait_loaded(page)
    shoot(page, "result-ko")
    look_for_barriers(page)
    page.locator(".name").click()
    expect(page.locator("#rows")).to_contain_text("완료")
    shoot(page, "studies-ko")
    look_for_barriers(page)


def test_the_list_of_studies(page: Page, stored: Stored, turned: Stored) -> None:
    page.goto("/segmentation/")
    # Other tests may have stored studies of their own.
    for name in ("PHANTOM", "Turned A"):
        expect(page.locator("#rows tr").filter(has_text=name).first).to_be_visible()
    shoot(page, "studies-en")
    look_for_barriers(page)
    page.locator("#search").fill("turned")
    page.keyboard.press("Enter")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#message")).to_have_text("1 study · page 1 of 1")
    page.locator("#search").fill("nobody")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_have_text("No studies found.")
