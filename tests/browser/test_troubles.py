"""What the page says when something is missing, fails or is called off, and how it goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from playwright.sync_api import Page, expect

from infra.fake_gcs.messages import Answer
from infra.servers.orthanc import OrthancServer
from segrelay.manifest import ResultStatus
from segrelay.retry import RetryPolicy
from segrelay.stages import Stage
from tests.browser.conftest import TIME_ZONE, Heard
from tests.browser.steps import look_for_barriers, open_study, send, shoot, wait_loaded
from tests.browser.studies import Stored
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy
from tests.unit.gcp_side.fakes import FakeAgent, ended

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def before_orthanc(orthanc: OrthancServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """What lies between the site and Orthanc."""
    monkeypatch.setattr("segrelay.retry.ORTHANC_REQUEST", RetryPolicy(first=0.01))
    with fault_proxy(orthanc.url) as proxy:
        yield proxy


@pytest.fixture
def orthanc_url(before_orthanc: FaultProxy) -> str:
    return before_orthanc.url


def take_away(proxy: FaultProxy) -> None:
    """As the server before an Orthanc that has stopped."""
    proxy.instead = lambda request: Answer(status=503)


def give_back(proxy: FaultProxy) -> None:
    proxy.instead = lambda request: None


def test_a_failing_job_and_its_retry(page: Page, stored: Stored, agent: FakeAgent) -> None:
    (known,) = stored.segs
    open_study(page, stored)
    claim = send(page, agent)
    agent.queue.finish(claim, ended(claim.job_id, ResultStatus.FAILED))
    card = page.locator("#task .is-failure")
    expect(card).to_contain_text("A slice is missing. Send it.")
    shoot(page, "failed-en")
    look_for_barriers(page)
    page.reload()
    expect(card).to_contain_text("A slice")
    page.get_by_role("button", name="한국어").click()
    expect(card).to_contain_text("시리즈에 빠진 슬라이스가 있습니다.")
    expect(card.locator("[lang=en]")).to_have_text("A slice is missing. Send it.")
    expect(page.locator("#retry")).to_be_in_viewport(ratio=1)
    shoot(page, "failed-ko")
    look_for_barriers(page)
    page.get_by_role("button", name="English").click()
    expect(card).to_contain_text("A slice")
    page.locator("#retry").click()
    expect(page.locator("#task-text")).to_contain_text("waiting")
    claim, manifest = agent.claim()
    assert [item.orthanc_id for item in manifest.series] == list(stored.series)
    agent.finish(claim, seg_id=known.seg)
    expect(page.locator("#segments tr")).to_have_count(1)
    expect(page.locator("#history li")).to_have_count(2)
    expect(card).to_have_count(0)


def test_cancelled_while_the_lab_works_on_it(page: Page, stored: Stored, agent: FakeAgent) -> None:
    open_study(page, stored)
    claim = send(page, agent)
    agent.tell(claim, Stage.INFER, 40)
    expect(page.locator("#task-text")).to_have_text("segmenting 40 % on lab-gpu-1")
    page.locator("#cancel").click()
    expect(page.locator("#task")).to_contain_text("The request was cancelled.")
    expect(page.locator("#history")).to_contain_text("Cancelled")
    expect(page.locator("#send")).to_be_enabled()
    page.locator("#retry").click()
    expect(page.locator("#task-text")).to_contain_text("waiting")


def test_no_agent_is_online(page: Page, stored: Stored, agent: FakeAgent) -> None:
    open_study(page, stored)
    page.locator("#send").click()
    text = page.locator("#task-text")
    expect(text).to_have_text("waiting: no agent has ever been online")
    agent.heartbeat(state="stopped")
    told = page.request.get("/api/mri/segmentation/agents/").json()["last_seen"]
    seen = datetime.fromisoformat(told).astimezone(ZoneInfo(TIME_ZONE))
    # With the date before it once that is not today any more.
    expect(text).to_contain_text("waiting: no agent online since ")
    expect(text).to_contain_text(f"{seen:%H:%M}")
    shoot(page, "no-agent-en")
    agent.heartbeat()
    expect(text).to_have_text("waiting: 1 agent online")
    agent.heartbeat(state="paused", reason="training")
    expect(text).to_have_text("waiting: lab-gpu-1 has paused (training)")
    agent.heartbeat(profiles=("brain",))
    expect(text).to_have_text("waiting: no agent online has the profile demo")


def test_orthanc_is_down_and_comes_back(
    page: Page,
    stored: Stored,
    agent: FakeAgent,
    before_orthanc: FaultProxy,
    heard: Heard,
) -> None:
    heard.expected.add("503")
    take_away(before_orthanc)
    page.goto("/segmentation/")
    message = page.locator("#message")
    expect(message).to_contain_text("Orthanc has a problem")
    shoot(page, "orthanc-down-list-en")
    look_for_barriers(page)
    give_back(before_orthanc)
    expect(page.locator("#rows tr").first).to_be_visible()
    expect(message).not_to_contain_text("Orthanc")

    take_away(before_orthanc)
    page.goto(f"/segmentation/studies/{stored.study}/")
    failure = page.locator("#task .is-failure")
    expect(failure).to_contain_text("Orthanc has a problem")
    shoot(page, "orthanc-down-en")
    look_for_barriers(page)
    give_back(before_orthanc)
    wait_loaded(page)
    expect(failure).to_have_count(0)


def test_orthanc_goes_down_under_a_study(
    page: Page,
    stored: Stored,
    agent: FakeAgent,
    before_orthanc: FaultProxy,
    heard: Heard,
) -> None:
    heard.expected.add("503")
    (known,) = stored.segs
    open_study(page, stored)
    claim = send(page, agent)
    take_away(before_orthanc)
    agent.finish(claim, seg_id=known.seg)
    result = page.locator("#result")
    expect(result).to_contain_text("Orthanc has a problem")
    expect(result).to_contain_text("1.50 ml")
    give_back(before_orthanc)
    expect(result).not_to_contain_text("Orthanc")
    expect(page.locator("#jump")).to_be_enabled()


def test_who_may_only_look(page: Page, stored: Stored, agent: FakeAgent) -> None:
    open_study(page, stored)
    claim = send(page, agent)
    user = User.objects.get(username="radiologist")
    user.is_superuser = False
    user.save()
    user.user_permissions.set(Permission.objects.filter(codename="view_job"))
    page.reload()
    expect(page.locator("#task-text")).not_to_be_empty()
    expect(page.locator("#cancel")).to_have_count(0)
    agent.queue.finish(claim, ended(claim.job_id, ResultStatus.FAILED))
    expect(page.locator("#task .is-failure")).to_contain_text("A slice is missing.")
    expect(page.locator("#retry")).to_have_count(0)
    expect(page.locator("#send")).to_be_hidden()
    wait_loaded(page)


def test_logged_out_meanwhile(page: Page, stored: Stored, heard: Heard) -> None:
    heard.expected.add("403")
    open_study(page, stored)
    page.context.clear_cookies()
    page.locator("#send").click()
    card = page.locator("#task .is-failure")
    expect(card).to_contain_text("You are no longer logged in")
    page.reload()
    expect(page).to_have_url(re.compile("/segmentation/login/"))


def test_the_watch_over_the_policy_sees_a_violation(page: Page, heard: Heard) -> None:
    page.goto("/segmentation/")
    page.evaluate("document.body.append(document.createElement('style'))")
    expect(page.locator("body > style")).to_have_count(1)
    page.evaluate("document.querySelector('body > style').textContent = 'p { color: red }'")
    expect(page.locator("#message")).not_to_be_empty()
    assert any(line.startswith("style-src") for line in heard.violations)
    heard.violations.clear()
    heard.console.clear()
