"""The page of a project that sets cookies, headers and static files otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django import Settings

from tests.browser.conftest import Heard
from tests.browser.steps import open_study, send
from tests.browser.studies import Stored
from tests.unit.gcp_side.fakes import FakeAgent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"CSRF_USE_SESSIONS": True},
        pytest.param({"CSRF_COOKIE_HTTPONLY": True}, marks=pytest.mark.long),
        pytest.param(
            {"CSRF_COOKIE_NAME": "hospital", "CSRF_HEADER_NAME": "HTTP_X_HOSPITAL_TOKEN"},
            marks=pytest.mark.long,
        ),
        pytest.param({"CSRF_COOKIE_PATH": "/api/"}, marks=pytest.mark.long),
    ],
    ids=lambda changes: "-".join(changes),
)
def test_a_request_is_sent(
    page: Page, settings: Settings, stored: Stored, agent: FakeAgent, changes: dict[str, Any]
) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    # Static files may be kept under hashed names alone.
    page.route("**/static/**/*.js", lambda route: route.fulfill(status=404))
    open_study(page, stored)
    assert send(page, agent).job_id


def test_a_login_in_another_tab_makes_a_new_token(
    page: Page, settings: Settings, stored: Stored, agent: FakeAgent, heard: Heard
) -> None:
    settings.CSRF_COOKIE_HTTPONLY = True
    heard.expected.add("403")
    open_study(page, stored)
    address = page.evaluate("location.origin")
    page.context.add_cookies([{"name": "csrftoken", "value": "n" * 32, "url": address}])
    claim = send(page, agent)
    assert claim.job_id
    expect(page.locator("#task .is-failure")).to_have_count(0)


def test_a_site_that_refuses_its_own_pages_is_not_blamed_on_the_user(
    page: Page, stored: Stored, heard: Heard
) -> None:
    """As behind a server that speaks https, of which the settings know nothing."""
    heard.expected.add("403")
    said = {"success": False, "error": "Not of its own pages.", "code": "csrf-refused"}
    open_study(page, stored)
    page.route(
        "**/segment/",
        lambda route: route.fulfill(status=403, json=said | {"remedy": "Set the origins."}),
    )
    page.locator("#send").click()
    expect(page.locator("main")).to_contain_text("Not of its own pages.")
    expect(page.locator("main")).to_contain_text("Set the origins.")
    expect(page.locator("main")).not_to_contain_text("You may not do this")
