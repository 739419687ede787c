"""What contradicts a profile is asked before it is sent; what is not for patients says so."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from gcp_side.labseg.models import Job
from segrelay.manifest import ResultStatus
from segrelay.offers import Offer
from segrelay.profiles import load_profile
from segrelay.result_notes import NOT_FOR_PATIENTS, TRAINED_ON_SYNTHETIC
from tests.browser.conftest import Heard
from tests.browser.steps import (
    deliver,
    find,
    look_for_barriers,
    open_study,
    shoot,
    take_picture,
    wait_loaded,
)
from tests.browser.studies import Stored
from tests.browser.test_study_page import DEMO
from tests.support.repetition import at_length
from tests.unit.gcp_side.fakes import FakeAgent, ended

pytestmark = pytest.mark.django_db(transaction=True)

OFFER = Offer.of(load_profile(DEMO))
REAL = OFFER.model_copy(update={"name": "breast-dce-swinunetr", "for_patients": True})

NARROW = 390
"""Pixels: a telephone of today."""

LANGUAGES = {
    "en": ("Body Part Examined says brain, but the profile is for breast", "NOT FOR PATIENTS"),
    "ko": ("검사 부위(Body Part Examined) 항목에는 뇌", "환자에게 사용 금지"),
}


UNSURE = {
    "en": ("Please check whether these are the right series", "Not certain to be the right series"),
    "ko": ("올바른 시리즈인지 확인하십시오", "올바른 시리즈인지 확실하지 않았습니다"),
}


def choose_language(page: Page, language: str) -> None:
    page.get_by_role("button", name={"en": "English", "ko": "한국어"}[language]).click()
    expect(page.locator("html")).to_have_attribute("lang", language)


@pytest.mark.parametrize("language", ["en", *at_length("ko")])
def test_only_a_yes_sends_what_contradicts(
    page: Page, brain: Stored, agent: FakeAgent, heard: Heard, language: str
) -> None:
    heard.expected.add("409")
    (known,) = brain.segs
    agent.heartbeat(offers=(OFFER,))
    open_study(page, brain)
    choose_language(page, language)
    wait_loaded(page)
    dialog, send = page.get_by_role("alertdialog"), page.locator("#send")
    expect(send).to_be_enabled()
    send.focus()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    expect(dialog.locator("li")).to_have_count(2)
    expect(dialog.locator("li").first).to_contain_text(LANGUAGES[language][0])
    expect(page.locator("#confirm-no")).to_be_focused()
    shoot(page, f"confirm-{language}")
    look_for_barriers(page)
    page.set_viewport_size({"width": NARROW, "height": 800})
    box = dialog.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= NARROW
    shoot_narrow(page, f"confirm-{language}")
    page.set_viewport_size({"width": 1280, "height": 800})
    # Enter on what has the focus, Escape, and the other button by keyboard: no, no, yes.
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(send).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(send).to_be_focused()
    assert not Job.objects.exists()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#confirm-yes")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#task-text")).to_be_visible()
    claim, manifest = agent.claim()
    assert manifest.confirmed == ("body-part", "description-region")
    deliver(page, agent, claim, known)
    confirmed = page.locator("#confirmed")
    expect(confirmed).to_contain_text("radiologist")
    expect(confirmed.locator("li").first).to_contain_text(LANGUAGES[language][0])
    shoot(page, f"confirmed-{language}")
    look_for_barriers(page)


def test_the_reasons_are_those_of_the_series_that_are_chosen(
    page: Page, stored: Stored, agent: FakeAgent, heard: Heard
) -> None:
    heard.expected.add("409")
    agent.heartbeat(offers=(REAL,))
    open_study(page, stored)
    first, second = page.locator("#role-dce-0"), page.locator("#role-dce-1")
    first.select_option(stored.series[1])
    second.select_option(stored.series[0])
    page.locator("#send").click()
    reasons = page.locator("#confirm-reasons li")
    expect(reasons).to_have_count(1)
    expect(reasons).to_contain_text("Another series than the recognised one was chosen")
    page.locator("#confirm-no").click()
    first.select_option(stored.series[0])
    second.select_option(stored.series[1])
    page.locator("#send").click()
    # An ordinary study goes through as before.
    expect(page.locator("#task-text")).to_contain_text("waiting")
    expect(page.locator("#confirm")).to_be_hidden()
    assert Job.objects.get().confirmed == []


@pytest.mark.parametrize("language", ["ko", *at_length("en")])
def test_a_series_that_is_not_certain_is_no_contradiction(
    page: Page, unsure: Stored, agent: FakeAgent, heard: Heard, language: str
) -> None:
    heard.expected.add("409")
    (known,) = unsure.segs
    agent.heartbeat(offers=(REAL,))
    open_study(page, unsure)
    choose_language(page, language)
    wait_loaded(page)
    page.locator("#send").click()
    expect(page.locator("#confirm-title")).to_have_text(UNSURE[language][0])
    expect(page.locator("#confirm-reasons li")).to_have_count(1)
    shoot(page, f"confirm-unsure-{language}")
    page.locator("#confirm-yes").click()
    expect(page.locator("#task-text")).to_be_visible()
    claim, manifest = agent.claim()
    assert manifest.confirmed == ("role-unsure",)
    deliver(page, agent, claim, known)
    expect(page.locator("#confirmed-title")).to_contain_text(UNSURE[language][1])
    expect(page.locator("#confirmed")).not_to_have_class(re.compile("is-failure"))
    shoot(page, f"confirmed-unsure-{language}")
    look_for_barriers(page)


def test_what_comes_up_while_somebody_looks_is_asked_once_more(
    page: Page, brain: Stored, agent: FakeAgent, heard: Heard
) -> None:
    heard.expected.add("409")
    agent.heartbeat(offers=(OFFER,))
    open_study(page, brain)
    page.route(
        "**/segment/",
        lambda route: route.continue_(
            post_data={**route.request.post_data_json, "confirm": ["body-part"]}
        ),
        times=2,
    )
    page.locator("#send").click()
    expect(page.get_by_role("alertdialog")).to_be_visible()
    page.locator("#confirm-yes").click()
    expect(page.get_by_role("alertdialog")).to_be_visible()
    assert not Job.objects.exists()
    page.locator("#confirm-yes").click()
    expect(page.locator("#task-text")).to_be_visible()
    assert [item["code"] for item in Job.objects.get().confirmed] == [
        "body-part",
        "description-region",
    ]


def test_a_retry_asks_again(page: Page, brain: Stored, agent: FakeAgent, heard: Heard) -> None:
    heard.expected.add("409")
    agent.heartbeat(offers=(OFFER,))
    open_study(page, brain)
    page.locator("#send").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#task-text")).to_be_visible()
    claim, _ = agent.claim()
    agent.heartbeat(offers=(OFFER,))
    agent.queue.finish(claim, ended(claim.job_id, ResultStatus.FAILED))
    page.locator("#retry").click()
    expect(page.get_by_role("alertdialog")).to_be_visible()
    page.locator("#confirm-no").click()
    expect(page.locator("#retry")).to_be_focused()
    page.locator("#retry").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#task-text")).to_be_visible()
    assert Job.objects.count() == 2


@pytest.mark.parametrize("language", ["ko", *at_length("en")])
def test_a_profile_that_is_not_for_patients_says_so_in_large(
    page: Page, stored: Stored, agent: FakeAgent, language: str
) -> None:
    (known,) = stored.segs
    agent.heartbeat(offers=(OFFER, REAL))
    open_study(page, stored)
    choose_language(page, language)
    wait_loaded(page)
    banner = page.locator("#not-for-patients")
    expect(banner.locator("strong")).to_have_text(LANGUAGES[language][1])
    size = banner.locator("strong").evaluate("one => parseFloat(getComputedStyle(one).fontSize)")
    assert size >= 24
    shoot(page, f"banner-{language}")
    look_for_barriers(page)
    shoot_narrow(page, f"banner-{language}")
    page.locator("#profile").select_option(REAL.name)
    expect(banner).to_be_hidden()
    page.locator("#profile").select_option(OFFER.name)
    expect(banner).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 800})
    find(page, agent, known)
    expect(banner).to_be_visible()
    expect(page.locator("#history")).to_contain_text(LANGUAGES[language][1])
    shoot(page, f"banner-result-{language}")
    look_for_barriers(page)


def test_a_result_that_is_not_for_patients_says_so_beside_any_profile(
    page: Page, stored: Stored, agent: FakeAgent
) -> None:
    (known,) = stored.segs
    agent.heartbeat(offers=(REAL,))
    open_study(page, stored)
    expect(page.locator("#not-for-patients")).to_be_hidden()
    find(page, agent, known)
    expect(page.locator("#not-for-patients")).to_be_hidden()
    Job.objects.update(warnings=[NOT_FOR_PATIENTS])
    page.reload()
    wait_loaded(page)
    expect(page.locator("#not-for-patients")).to_be_visible()
    expect(page.locator("#warnings")).to_contain_text("NOT FOR PATIENTS")
    expect(page.locator("#trained-on-synthetic")).to_be_hidden()
    Job.objects.update(warnings=[TRAINED_ON_SYNTHETIC])
    page.reload()
    wait_loaded(page)
    expect(page.locator("#not-for-patients")).to_be_hidden()
    expect(page.locator("#trained-on-synthetic")).to_be_visible()
    expect(page.locator("#history")).to_contain_text("TRAINED ON SYNTHETIC IMAGES ONLY")
    look_for_barriers(page)


def shoot_narrow(page: Page, name: str) -> None:
    page.set_viewport_size({"width": NARROW, "height": 800})
    wait_loaded(page)
    take_picture(page, f"{name}-{NARROW}")
