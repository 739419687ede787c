"""The pages as the server sends them: who gets them, in which language, and with what in them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils.translation import gettext, override
from pytest_django import Settings

from gcp_side.site.csp import POLICY
from segrelay.stages import Stage
from tests.unit.gcp_side.fakes import PATIENT_ID, PATIENT_NAME, STUDY_ID, FakeOrthanc, radiologist

pytestmark = pytest.mark.django_db

LIST = "/segmentation/"
STUDY = f"/segmentation/studies/{STUDY_ID}/"
PAGES = (LIST, STUDY)
LANGUAGE = "/segmentation/language/"
LOGOUT = "/segmentation/logout/"


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(radiologist())
    return client


def config_of(client: Client) -> Any:
    page = client.get(STUDY).content.decode()
    (text,) = re.findall(r'<script id="labseg-config" type="application/json">(.*?)</script>', page)
    return json.loads(text)


@pytest.mark.parametrize("page", PAGES)
class TestWhoMaySee:
    """The pages show patients."""

    def test_a_stranger_is_led_to_the_login(self, page: str) -> None:
        answer: Any = Client().get(page)
        assert answer.status_code == 302
        assert answer["Location"] == f"{reverse('labseg-pages:login')}?next={page}"

    def test_a_user_without_the_permission_is_refused(self, page: str) -> None:
        client = Client()
        client.force_login(radiologist("add_job", "change_job"))
        assert client.get(page).status_code == 403

    def test_the_permission_is_enough(self, page: str) -> None:
        client = Client()
        client.force_login(radiologist("view_job"))
        answer: Any = client.get(page)
        assert answer.status_code == 200
        assert answer["Content-Security-Policy"] == POLICY

    def test_nothing_can_be_sent_to_it(self, client: Client, page: str) -> None:
        for method in ("post", "put", "patch", "delete"):
            assert getattr(client, method)(page).status_code == 405

    def test_it_names_no_patient_itself(
        self, client: Client, orthanc: FakeOrthanc, page: str
    ) -> None:
        text = client.get(page).content.decode()
        assert PATIENT_NAME not in text
        assert PATIENT_ID not in text
        assert orthanc.calls == []


@pytest.mark.parametrize("junk", ["x", "..", "%00", "%2e%2e%2f", STUDY_ID.upper(), "9" * 3000])
def test_junk_in_the_address(client: Client, orthanc: FakeOrthanc, junk: str) -> None:
    assert client.get(f"/segmentation/studies/{junk}/").status_code == 404
    assert orthanc.calls == []


@pytest.mark.parametrize(
    ("permissions", "may"),
    [
        (("view_job",), {"add": False, "change": False}),
        (("view_job", "add_job"), {"add": True, "change": False}),
        (("view_job", "change_job"), {"add": False, "change": True}),
    ],
)
def test_the_page_knows_what_its_user_may_do(
    permissions: tuple[str, ...], may: dict[str, bool]
) -> None:
    client = Client()
    client.force_login(radiologist(*permissions))
    assert config_of(client)["may"] == may


def test_the_other_viewer_of_the_settings(client: Client, settings: Settings) -> None:
    assert config_of(client)["ohif"] == ""
    address = "https://viewer.example/</script><b>"
    settings.SEGRELAY = settings.SEGRELAY | {"OHIF_URL": address}
    assert config_of(client)["ohif"] == address


def test_the_page_has_a_sentence_for_each_stage_of_an_agent(client: Client) -> None:
    for language in ("en", "ko"):
        with override(language):
            expected = {
                stage: {"step": stage.step, "text": gettext(stage.sentence)} for stage in Stage
            }
        client.cookies[settings.LANGUAGE_COOKIE_NAME] = language
        assert config_of(client)["stages"] == expected
    assert expected[Stage.READY]["text"] == "GPU를 기다리는 중"


class TestLanguages:
    """English and Korean."""

    def test_as_the_browser_asks(self, client: Client) -> None:
        for language, word in (("ko-KR,ko;q=0.9", "검사 목록"), ("de", "Studies")):
            page = client.get(LIST, headers={"accept-language": language}).content.decode()
            assert f">{word}</h1>" in page

    def test_as_the_user_chooses(self, client: Client) -> None:
        answer: Any = client.post(LANGUAGE, {"language": "ko", "next": STUDY})
        assert (answer.status_code, answer["Location"]) == (302, STUDY)
        page = client.get(STUDY, headers={"accept-language": "en"}).content.decode()
        assert '<html lang="ko">' in page

    def test_only_those_that_the_pages_have(self, client: Client, settings: Settings) -> None:
        settings.LANGUAGES = [("de", "German"), ("en", "English"), ("ko", "Korean")]
        page = client.get(LIST).content.decode()
        assert re.findall(r'name="language" value="(\w+)"', page) == ["en", "ko"]

    def test_no_choice_where_there_is_one_language(
        self, client: Client, settings: Settings
    ) -> None:
        settings.LANGUAGES = [("en", "English")]
        assert 'name="language"' not in client.get(LIST).content.decode()

    def test_no_choice_where_nothing_heeds_it(self, client: Client, settings: Settings) -> None:
        locale = "django.middleware.locale.LocaleMiddleware"
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != locale]
        assert 'name="language"' not in client.get(LIST).content.decode()

    def test_the_choice_leads_to_no_other_site(self, client: Client) -> None:
        answer: Any = client.post(LANGUAGE, {"language": "ko", "next": "https://evil.example/"})
        assert answer["Location"] == "/"

    def test_the_choice_needs_the_csrf_token(self) -> None:
        client = Client(enforce_csrf_checks=True)
        assert client.post(LANGUAGE, {"language": "ko", "next": LIST}).status_code == 403


class TestLoggingOut:
    """Who leaves a shared computer."""

    def test_leads_to_the_login(self, client: Client) -> None:
        assert f'action="{LOGOUT}"' in client.get(STUDY).content.decode()
        answer: Any = client.post(LOGOUT)
        assert (answer.status_code, answer["Location"]) == (302, LIST)
        assert client.get(LIST).status_code == 302

    def test_is_not_done_by_a_link(self, client: Client) -> None:
        assert client.get(LOGOUT).status_code == 405
        assert client.get(LIST).status_code == 200

    def test_needs_the_csrf_token(self) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(radiologist())
        assert client.post(LOGOUT).status_code == 403
        assert client.get(LIST).status_code == 200
