"""The admin of jobs, as somebody sees it, in both languages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from gcp_side.labseg import jobs
from segrelay.manifest import ResultStatus
from tests.browser.conftest import Heard
from tests.browser.steps import open_study, send, take_picture
from tests.browser.studies import Stored
from tests.unit.gcp_side.fakes import FakeAgent, ended

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/labseg/job/"
SIZES = ((1280, 1000), (390, 780))


def shoot(page: Page, name: str) -> None:
    """A picture of the whole page in each size."""
    for width, height in reversed(SIZES):
        page.set_viewport_size({"width": width, "height": height})
        take_picture(page, f"{name}-{width}", full_page=True)


def test_jobs_in_both_languages(page: Page, stored: Stored, agent: FakeAgent, heard: Heard) -> None:
    (known,) = stored.segs
    open_study(page, stored)
    claim = send(page, agent)
    agent.finish(claim, seg_id=known.seg)
    page.goto(f"/segmentation/studies/{stored.study}/")
    expect(page.locator("#segments tr")).to_have_count(1)
    done = claim.job_id
    claim = send(page, agent)
    agent.queue.finish(claim, ended(claim.job_id, ResultStatus.FAILED))
    expect(page.locator("#task .is-failure")).to_be_visible()
    jobs.sync_all()
    # Django's own pages have no icon, for which the browser looks.
    heard.expected.add("404")
    for language, button in (("ko", "한국어"), ("en", "English")):
        page.goto("/segmentation/")
        page.get_by_role("button", name=button).click()
        expect(page.locator("html")).to_have_attribute("lang", language)
        for name, address in (
            ("list", LIST),
            ("done", f"{LIST}{done}/change/"),
            ("failed", f"{LIST}{claim.job_id}/change/"),
        ):
            page.goto(address)
            expect(page.locator("html")).to_have_attribute("lang", language)
            shoot(page, f"admin-{name}-{language}")
    page.goto(f"{LIST}{done}/change/")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Page of the study").click()
    expect(opened.value.locator("#segments tr")).to_have_count(1)
