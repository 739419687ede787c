"""Reading a study: keyboard, wheel, windows, and what stands there after a reload."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from playwright.sync_api import Locator, Page, expect
from pytest_django import Settings

from segrelay.offers import Offer, OfferedRole
from segrelay.profiles import Text
from tests.browser.canvas import read, wait_drawn
from tests.browser.conftest import Heard
from tests.browser.steps import find, look_for_barriers, open_study, send, shoot, wait_loaded
from tests.browser.studies import Stored
from tests.unit.gcp_side.fakes import REPORT, FakeAgent, succeeded

pytestmark = pytest.mark.django_db(transaction=True)

PHASES = Offer(
    name="demo",
    title=Text(en="Breast phases", ko="유방"),
    roles=tuple(OfferedRole(role=f"dce-{number}") for number in range(4)),
)
BRAIN = Offer(
    name="brain-tumour",
    title=Text(en="Brain tumour", ko="뇌종양"),
    roles=tuple(OfferedRole(role=role) for role in ("t1c", "t1", "t2", "flair")),
)


def windows(page: Page) -> list[str]:
    """What the four panes say of their windows."""
    wait_drawn(page)
    return [str(text) for text in page.locator(".pane .window").all_text_contents()]


def slice_of(pane: Locator) -> int:
    return int(pane.get_attribute("data-slice") or -1)


def test_by_keyboard_alone(page: Page, stored: Stored, agent: FakeAgent) -> None:
    (known,) = stored.segs
    open_study(page, stored)
    find(page, agent, known)
    page.locator("#jump").focus()
    pane = page.locator(".pane").first
    # From the result to the images with the tabulator alone.
    while not pane.evaluate("(element) => element === document.activeElement"):
        page.keyboard.press("Tab")
    tumour = slice_of(pane)
    page.keyboard.press("ArrowDown")
    expect(pane).to_have_attribute("data-slice", str(tumour + 1))
    page.keyboard.press("PageUp")
    expect(pane).to_have_attribute("data-slice", str(tumour - 9))
    page.keyboard.press("End")
    expect(pane).to_have_attribute("data-slice", str(len(known.mask) - 1))
    expect(page.locator("#said")).to_contain_text(f"{len(known.mask)} / {len(known.mask)}")
    assert not read(page).covered.any()
    for key, plane in (("2", "coronal"), ("3", "sagittal"), ("1", "axial")):
        page.keyboard.press(key)
        expect(pane).to_have_attribute("data-plane", plane)
    page.keyboard.press("t")
    expect(pane).to_have_attribute("data-slice", str(tumour))
    assert read(page).covered.any()
    page.keyboard.press("o")
    assert not read(page).covered.any()
    page.keyboard.press("o")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    look_for_barriers(page)
    shoot(page, "keys-en")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()


def test_wheel_drag_and_click(page: Page, stored: Stored) -> None:
    open_study(page, stored)
    pane = page.locator(".pane").first
    box = pane.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = slice_of(pane)
    page.mouse.move(x, y)
    page.mouse.wheel(0, 100)
    for one in page.locator(".pane").all():
        expect(one).to_have_attribute("data-slice", str(before + 1))
    usual = windows(page)
    page.mouse.down()
    page.mouse.move(x + 60, y + 30, steps=4)
    page.mouse.up()
    assert set(windows(page)).isdisjoint(usual)
    place = page.locator("#position").inner_text()
    page.mouse.click(x + 40, y - 30)
    expect(page.locator("#position")).not_to_have_text(place)
    page.locator("#reset").click()
    assert windows(page) == usual


def test_phases_share_a_window_and_other_contrasts_do_not(
    page: Page, stored: Stored, agent: FakeAgent
) -> None:
    agent.heartbeat(offers=(PHASES, BRAIN))
    open_study(page, stored)
    assert len(set(windows(page))) == 1
    page.locator("#profile").select_option(label="Brain tumour")
    expect(page.locator("#field-t1c label")).to_have_text("T1 with contrast")
    for role, series in zip(("t1c", "t1", "t2", "flair"), stored.series, strict=True):
        page.locator(f"#role-{role}").select_option(series)
    wait_loaded(page)
    assert len(set(windows(page))) == 4
    page.locator(".pane").nth(2).focus()
    before = windows(page)
    page.keyboard.press("ArrowRight")
    after = windows(page)
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        True,
        True,
        False,
        True,
    ]


def test_after_a_reload_the_form_shows_what_was_sent(
    page: Page, stored: Stored, agent: FakeAgent, heard: Heard
) -> None:
    heard.expected.add("409")
    open_study(page, stored)
    expect(page.locator("#field-dce-0 .why")).to_contain_text("certain")
    # Not as recognised.
    turned_round = stored.series[::-1]
    for number, series in enumerate(turned_round):
        page.locator(f"#role-dce-{number}").select_option(series)
    expect(page.locator("#field-dce-0 .why")).to_have_text("chosen by hand")
    page.locator("#send").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#task-text")).to_contain_text("waiting")
    page.reload()
    expect(page.locator("#task-text")).to_contain_text("waiting")
    for number, series in enumerate(turned_round):
        expect(page.locator(f"#role-dce-{number}")).to_have_value(series)
    wait_loaded(page)
    page.locator("#cancel").click()
    expect(page.locator("#task")).to_contain_text("The request was cancelled.")


def test_titles_while_no_agent_has_ever_told_any(page: Page, stored: Stored) -> None:
    open_study(page, stored)
    titles = page.locator(".pane .title").all_text_contents()
    assert [title.splitlines()[0] for title in titles] == [
        "Before contrast",
        *(f"After contrast, phase {number}" for number in (1, 2, 3)),
    ]
    assert page.locator("#profile option").all_text_contents()[0] == "Demo"


def test_each_series_in_three_planes(page: Page, stored: Stored) -> None:
    open_study(page, stored)
    page.keyboard.press("4")
    expect(page.locator("#which")).to_be_visible()
    images = []
    for number in range(4):
        page.locator("#which").select_option(str(number))
        images.append(read(page, 0, "image").pixels)
    assert all((one != other).any() for one, other in pairwise(images))


def test_no_tumour_was_found(page: Page, stored: Stored, agent: FakeAgent) -> None:
    open_study(page, stored)
    claim = send(page, agent)
    result = succeeded(claim.job_id, agent.name, seg_id=stored.nothing)
    nothing = result.measurements[0].model_copy(
        update={"voxels": 0, "volume_ml": 0.0, "longest_diameter_mm": None}
    )
    agent.queue.finish(claim, result.model_copy(update={"measurements": (nothing,)}))
    expect(page.locator("#no-tumour")).to_be_visible()
    expect(page.locator("#history")).to_contain_text("no tumour")
    expect(page.locator("#jump")).to_be_disabled()
    wait_loaded(page)
    assert not read(page).covered.any()
    shoot(page, "no-tumour-en")


def test_the_report_beside_the_segmentation(page: Page, stored: Stored, agent: FakeAgent) -> None:
    open_study(page, stored)
    # Any instance of the study stands for a report that is there.
    there = "The measurements also lie in Orthanc as a report (DICOM SR)."
    gone = "The report of the measurements (DICOM SR) is no longer in Orthanc."
    for report_id, told in ((stored.nothing, there), (REPORT.orthanc_id, gone)):
        report = REPORT.model_copy(update={"orthanc_id": report_id})
        agent.finish(send(page, agent), seg_id=stored.nothing, report=report)
        expect(page.locator("#report")).to_have_text(told)
        wait_loaded(page)


def test_the_way_to_another_viewer(
    page: Page, stored: Stored, agent: FakeAgent, settings: Settings
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"OHIF_URL": "https://viewer.example/viewer"}
    (known,) = stored.segs
    open_study(page, stored)
    link = page.get_by_role("link", name="Open in OHIF")
    # Before anything was asked for.
    expect(page.locator("#history-box")).to_be_hidden()
    study = re.compile(r"https://viewer\.example/viewer\?StudyInstanceUIDs=2\.25\.\d+$")
    expect(link).to_have_attribute("href", study)
    find(page, agent, known)
    seg = re.compile(r"viewer\?StudyInstanceUIDs=2\.25\.\d+&initialSeriesInstanceUID=1\.2\.3\.9$")
    expect(link).to_have_attribute("href", seg)


def test_no_way_to_another_viewer_unless_it_is_configured(page: Page, stored: Stored) -> None:
    open_study(page, stored)
    expect(page.locator("#ohif")).to_be_hidden()
