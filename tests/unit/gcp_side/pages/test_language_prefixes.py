"""A project whose addresses begin with a language: ``i18n_patterns``, in languages of its own."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth.views import LoginView
from django.test import Client
from django.urls import include, path
from pytest_django import Settings

from tests.unit.gcp_side.fakes import STUDY_ID, radiologist

pytestmark = pytest.mark.django_db

urlpatterns = i18n_patterns(
    path("api/mri/", include("gcp_side.labseg.urls")),
    path("segmentation/", include("gcp_side.labseg.page_urls")),
    path("hospital/login/", LoginView.as_view(), name="hospital-login"),
    path("hospital/password/", LoginView.as_view(), name="password_change"),
    prefix_default_language=False,
)

GERMAN_FRENCH = [("de", "Deutsch"), ("fr", "Français")]
VARIANTS = [("en-us", "English"), ("ko-kr", "한국어"), ("en-gb", "British English")]


@pytest.fixture
def project(settings: Settings) -> Settings:
    settings.ROOT_URLCONF = __name__
    settings.LANGUAGES = GERMAN_FRENCH
    settings.LANGUAGE_CODE = "de"
    return settings


def visitor() -> Client:
    client = Client()
    client.force_login(radiologist())
    return client


@pytest.mark.parametrize(
    ("languages", "code", "prefix", "language"),
    [
        (GERMAN_FRENCH, "de", "", "en"),
        (GERMAN_FRENCH, "de", "/fr", "en"),
        (VARIANTS, "en-us", "", "en"),
        (VARIANTS, "en-us", "/ko-kr", "ko"),
        (VARIANTS, "ko-kr", "/en-gb", "en"),
    ],
)
def test_every_address_of_a_page_is_one_of_the_project(
    project: Settings,
    languages: list[tuple[str, str]],
    code: str,
    prefix: str,
    language: str,
) -> None:
    project.LANGUAGES, project.LANGUAGE_CODE = languages, code
    client = visitor()
    html = client.get(f"{prefix}/segmentation/studies/{STUDY_ID}/").content.decode()
    assert f'<html lang="{language}">' in html
    (config,) = re.findall(r'id="labseg-config" type="application/json">(.*?)</script>', html)
    scripts = re.findall(r'<script src="([^"]+)"', html)
    assert json.loads(config)["api"] == f"{prefix}/api/mri/segmentation/"
    assert [client.get(address).status_code for address in scripts] == [200, 200]
    assert client.put(f"{json.loads(config)['api']}profiles/").status_code == 405
    forms = re.findall(r'<form action="([^"]+)"', html)
    assert f"{prefix}/segmentation/logout/" in forms
    assert [client.get(address).status_code for address in forms if "logout" in address] == [405]
    assert f'href="{prefix}/hospital/password/"' in html


@pytest.mark.parametrize("prefix", ["", "/fr"])
def test_strangers_are_led_to_a_login_that_there_is(project: Settings, prefix: str) -> None:
    for setting, expected in (
        ("hospital-login", f"{prefix}/hospital/login/"),
        ("labseg-pages:login", f"{prefix}/segmentation/login/"),
    ):
        project.LOGIN_URL = setting
        answer: Any = Client().get(f"{prefix}/segmentation/")
        assert answer["Location"].partition("?")[0] == expected
    assert Client().get(f"{prefix}/segmentation/login/").status_code == 200
    answer = visitor().post(f"{prefix}/segmentation/logout/")
    assert answer["Location"] == f"{prefix}/segmentation/"


def test_a_variant_of_a_language_can_be_chosen(project: Settings) -> None:
    project.LANGUAGES, project.LANGUAGE_CODE = VARIANTS, "en-us"
    client = visitor()
    html = client.get("/segmentation/").content.decode()
    buttons = re.findall(
        r'name="language" value="([\w-]+)" lang="(\w+)" aria-pressed="(\w+)"', html
    )
    assert buttons == [("en-us", "en", "true"), ("ko-kr", "ko", "false")]
    address = "/segmentation/language/"
    answer: Any = client.post(address, {"language": "ko-kr", "next": "/segmentation/"})
    assert answer["Location"] == "/ko-kr/segmentation/"
    assert '<html lang="ko">' in client.get(answer["Location"]).content.decode()
