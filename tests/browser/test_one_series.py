"""A study whose phases are one series: from the list to the overlay, in both languages."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from infra.one_series.rewrite import Kind
from segrelay.manifest import URGENT
from tests.browser.conftest import Heard
from tests.browser.steps import deliver, look_for_barriers, shoot, wait_loaded
from tests.browser.studies import DYNAMIC, Stored
from tests.unit.gcp_side.fakes import FakeAgent

pytestmark = pytest.mark.django_db(transaction=True)

FIXTURES = {Kind.CLASSIC: "dynamic", Kind.ENHANCED: "enhanced"}
LISTED = {"en": "2 (4 phases in one)", "ko": "2 (한 시리즈에 시기 4개)"}
TEXTS = {
    "en": ("Series 5: 4 phases of 32 images, by temporal position · used: 1\u20134", "certain"),
    "ko": (
        "시리즈 5: 시기 4개, 각 영상 32개, 구분 기준: 시간 위치(Temporal Position)"
        " · 사용: 1\u20134",
        "확실",
    ),
}


@pytest.mark.parametrize(
    ("kind", "language"),
    [(Kind.CLASSIC, "en"), (Kind.CLASSIC, "ko"), (Kind.ENHANCED, "en")],
)
def test_from_the_list_to_the_overlay(
    page: Page, request: pytest.FixtureRequest, agent: FakeAgent, kind: Kind, language: str
) -> None:
    dynamic: Stored = request.getfixturevalue(FIXTURES[kind])
    (known,) = dynamic.segs
    page.goto("/segmentation/")
    if language == "ko":
        page.get_by_role("button", name="한국어").click()
    held, sureness = TEXTS[language]
    name = DYNAMIC[kind].replace("^", " ")
    listed = page.locator("#rows tr").filter(has_text=name)
    expect(listed.locator("td.right")).to_have_text(LISTED[language])
    page.get_by_role("link", name=name).click()
    expect(page.locator("#parts li")).to_have_text(held)
    for number, volume in enumerate(dynamic.series):
        expect(page.locator(f"#role-dce-{number}")).to_have_value(volume)
        expect(page.locator(f"#why-dce-{number} b")).to_have_text(sureness)
    wait_loaded(page)
    shoot(page, f"one-series-{kind}-{language}")
    look_for_barriers(page)
    page.locator("#urgent").check()
    page.locator("#send").click()
    expect(page.locator("#task-text")).not_to_be_empty()
    claim, manifest = agent.claim()
    assert manifest.priority == URGENT
    assert [item.part and item.part.name for item in manifest.series] == [
        f"temporal-position {index}/4" for index in range(4)
    ]
    deliver(page, agent, claim, known)
    reference = dynamic.series[1]
    overlay = page.evaluate("""async () => {
      const id = (await (await fetch(document.querySelector("#labseg-config") &&
        JSON.parse(document.querySelector("#labseg-config").textContent).api + "requests/")).json())
        .requests[0].seg_instance_id;
      const api = JSON.parse(document.querySelector("#labseg-config").textContent).api;
      return (await fetch(`${api}instances/${id}/overlay/`)).json();
    }""")
    assert overlay["series_id"] == reference
    assert overlay["shape"] == list(known.mask.shape)
    assert overlay["segments"][0]["voxels"] == int(np.count_nonzero(known.mask))
    shoot(page, f"one-series-result-{kind}-{language}")
    look_for_barriers(page)


def test_another_volume_may_be_chosen(
    page: Page, dynamic: Stored, agent: FakeAgent, heard: Heard
) -> None:
    heard.expected.add("409")
    page.goto(f"/segmentation/studies/{dynamic.study}/")
    page.locator("#role-dce-3").select_option(dynamic.series[2])
    expect(page.locator("#send-why")).to_have_text("The same series is chosen twice.")
    page.locator("#role-dce-2").select_option(dynamic.series[3])
    page.locator("#send").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#task-text")).not_to_be_empty()
    _, manifest = agent.claim()
    assert [item.part and item.part.index for item in manifest.series] == [0, 1, 3, 2]


def test_a_study_opens_by_its_study_instance_uid(page: Page, dynamic: Stored) -> None:
    page.goto(f"/segmentation/studies/{dynamic.study}/")
    uid = page.evaluate("""async () => {
      const config = JSON.parse(document.querySelector("#labseg-config").textContent);
      return (await (await fetch(`${config.api}studies/${config.study}/`)).json())
        .study.study_instance_uid;
    }""")
    page.goto(f"/segmentation/studies/{uid}/")
    assert page.url.endswith(f"/segmentation/studies/{dynamic.study}/")
