"""Logging in, as somebody sees it: wide and narrow, in both languages, without a mouse."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission, User
from playwright.sync_api import Page, expect

from tests.browser.conftest import Heard
from tests.browser.steps import look_for_barriers, open_study, take_picture
from tests.browser.studies import Stored

pytestmark = pytest.mark.django_db(transaction=True)

SIZES = ((1280, 800), (390, 780))
"""A desktop, and a telephone of today."""


def shoot(page: Page, name: str) -> None:
    """A picture in each size; nothing is wider than the window."""
    for width, height in reversed(SIZES):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        take_picture(page, f"{name}-{width}")


def in_both_languages(page: Page, name: str) -> None:
    """Pictures, and a look for barriers; ends in English."""
    for language, button in (("ko", "한국어"), ("en", "English")):
        page.get_by_role("button", name=button).click()
        expect(page.locator("html")).to_have_attribute("lang", language)
        look_for_barriers(page)
        shoot(page, f"{name}-{language}")


def log_in(page: Page, password: str) -> None:
    """By the keyboard alone."""
    expect(page.locator("#id_username")).to_be_focused()
    page.keyboard.type("radiologist")
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def test_a_radiologist_who_is_no_staff(page: Page, heard: Heard) -> None:
    heard.expected |= {"403", "429"}
    user = User.objects.get(username="radiologist")
    user.is_superuser = user.is_staff = False
    user.save()
    page.context.clear_cookies()
    page.goto("/segmentation/")
    expect(page).to_have_url(re.compile(r"/segmentation/login/\?next=/segmentation/$"))
    in_both_languages(page, "login")
    log_in(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong")
    look_for_barriers(page)
    shoot(page, "login-wrong-en")
    page.locator("#id_username").fill("")
    page.locator("#id_username").focus()
    log_in(page, "a-password")

    expect(page.get_by_role("heading")).to_have_text("No permission")
    in_both_languages(page, "no-permission")
    user.user_permissions.set(Permission.objects.filter(codename="view_job"))
    page.reload()
    expect(page.locator("#find")).to_be_visible()

    page.get_by_role("link", name="radiologist").click()
    expect(page.get_by_role("heading")).to_have_text("Change password")
    in_both_languages(page, "password")
    page.locator("#id_old_password").fill("a-password")
    page.locator("#id_new_password1").fill("Quiet-harbour-41")
    page.locator("#id_new_password2").fill("Quiet-harbour-41")
    page.locator("main button").click()
    expect(page.get_by_role("heading")).to_have_text("Password changed")
    look_for_barriers(page)
    shoot(page, "password-changed-en")
    page.get_by_role("button", name="Log out").click()
    log_in(page, "Quiet-harbour-41")
    expect(page.locator("#find")).to_be_visible()


def test_a_session_that_ends_under_an_open_page(page: Page, stored: Stored, heard: Heard) -> None:
    # Then the confirmation that other series than the recognised ones need.
    heard.expected |= {"403", "409"}
    open_study(page, stored)
    page.locator("#role-dce-1").select_option(stored.series[2])
    page.context.clear_cookies()
    page.locator("#role-dce-2").select_option(stored.series[1])
    page.locator("#send").click()
    ended = page.locator("#session-ended")
    expect(ended).to_contain_text("Nothing on this page is lost")
    expect(page.locator("#task .is-failure")).to_contain_text("You are no longer logged in.")
    look_for_barriers(page)
    take_picture(page, "session-ended-en-1280")

    with page.context.expect_page() as opened:
        ended.get_by_role("link").click()
    tab = opened.value
    log_in(tab, "a-password")
    expect(tab.get_by_role("heading")).to_have_text("Logged in")
    tab.close()
    page.get_by_role("button", name="Try again").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#task-text")).to_contain_text("waiting")
    expect(ended).to_be_hidden()
    expect(page.locator("#role-dce-1")).to_have_value(stored.series[2])
    expect(page.locator("#role-dce-2")).to_have_value(stored.series[1])
