"""Logging in and out, on the site and in somebody's project."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.test import Client
from django.urls import include, path, set_script_prefix
from pytest_django import Settings

from gcp_side.labseg.access.brute_force import GuessGuard
from gcp_side.labseg.checks import check_login_page
from gcp_side.labseg.models import GuessCount
from tests.unit.gcp_side.fakes import STUDY_ID, radiologist

pytestmark = pytest.mark.django_db

LIST = "/segmentation/"
STUDY = f"/segmentation/studies/{STUDY_ID}/"
LOGIN = "/segmentation/login/"
LOGOUT = "/segmentation/logout/"
PASSWORD = "/segmentation/password/"
API = "/api/mri/segmentation/requests/"
RIGHT = "a-password"
NEW = "Quiet-harbour-41"

urlpatterns = [
    path("api/mri/", include("gcp_side.labseg.urls")),
    path("segmentation/", include("gcp_side.labseg.page_urls")),
    path("hospital/login/", LoginView.as_view(), name="hospital-login"),
]
"""Of a project with a login page of its own."""


@pytest.fixture
def user() -> User:
    """No staff."""
    return radiologist("view_job")


@pytest.fixture
def project(settings: Settings) -> Settings:
    """Somebody's settings, with Django's defaults where this site has its own."""
    settings.ROOT_URLCONF = __name__
    settings.LOGIN_URL = "/hospital/login/"
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "GuessGuard" not in name]
    return settings


def sign_in(client: Client | None = None, password: str = RIGHT, **more: str) -> Any:
    form = {"username": "radiologist", "password": password, **more}
    return (client or Client()).post(LOGIN, form)


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", answer.content.decode())


@pytest.mark.usefixtures("user")
class TestLoggingIn:
    """By the site's own page."""

    def test_a_radiologist_who_is_no_staff_comes_to_what_was_asked_for(self) -> None:
        client = Client()
        first: Any = client.get(STUDY)
        assert first["Location"] == f"{LOGIN}?next={STUDY}"
        page = client.get(first["Location"])
        assert f'name="next" value="{STUDY}"' in page.content.decode()
        answer = sign_in(client, next=STUDY)
        assert (answer.status_code, answer["Location"]) == (302, STUDY)
        assert client.get(STUDY).status_code == 200

    def test_without_an_address_to_the_list(self) -> None:
        assert sign_in()["Location"] == LIST

    @pytest.mark.parametrize(
        "address",
        [
            "https://evil.example/",
            "//evil.example/",
            "///evil.example/",
            "/\\evil.example",
            "\\\\evil.example",
            "http:evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            " //evil.example",
            "\t//evil.example",
            "http://testserver@evil.example/",
            "http://[evil",
            LOGIN,
            f"{LOGIN}?next={LOGIN}",
            LOGOUT,
        ],
    )
    def test_no_address_leads_elsewhere_or_round_in_a_circle(self, address: str) -> None:
        client = Client()
        assert sign_in(client, next=address)["Location"] == LIST
        again: Any = client.get(LOGIN, {"next": address})
        assert (again.status_code, again["Location"]) == (302, LIST)

    def test_an_address_adds_no_header(self) -> None:
        answer = sign_in(next="/segmentation/\r\nSet-Cookie: a=b")
        assert "\n" not in answer["Location"]
        assert "a" not in answer.cookies

    @pytest.mark.parametrize(
        ("language", "sentence"),
        [
            ("en", "The name or the password is wrong, or the account is not active."),
            ("ko", "이름 또는 비밀번호가 틀렸거나 비활성화된 계정입니다."),
        ],
    )
    def test_what_is_wrong_is_not_given_away(self, language: str, sentence: str) -> None:
        radiologist("view_job", name="gone")
        User.objects.filter(username="gone").update(is_active=False)
        client = Client(headers={"accept-language": language})
        pages = set()
        for name, password in (("radiologist", "x"), ("nobody", "x"), ("gone", RIGHT)):
            answer = client.post(LOGIN, {"username": name, "password": password})
            assert answer.status_code == 200
            assert sentence in text_of(answer)
            page = re.sub(r'(csrfmiddlewaretoken" value=")\w+', r"\1", text_of(answer))
            pages.add(page.replace(f'value="{name}"', ""))
            assert 'value="x"' not in page
        assert len(pages) == 1

    def test_a_reason_is_read_out(self) -> None:
        page = text_of(sign_in(password="wrong"))
        assert 'role="alert"' in page
        assert 'aria-describedby="trouble"' in page
        assert "<title> Not logged in" in page.replace("<title>", "<title> ")

    @pytest.mark.parametrize("form", [{}, {"username": "x"}, {"username": "a\0b", "password": "x"}])
    def test_a_form_that_is_not_filled_in(self, form: dict[str, str]) -> None:
        assert Client().post(LOGIN, form).status_code == 200

    def test_the_page_runs_and_loads_nothing(self) -> None:
        page = Client().get(LOGIN)
        assert b"<script" not in page.content
        assert b"style=" not in page.content
        assert "no-store" in page["Cache-Control"]

    def test_the_form_needs_the_csrf_token_and_says_so(self) -> None:
        client = Client(enforce_csrf_checks=True, headers={"accept-language": "ko"})
        answer = client.post(LOGIN, {"username": "radiologist", "password": RIGHT})
        assert answer.status_code == 403
        assert "전송되지 않음" in text_of(answer)
        assert "sessionid" not in answer.cookies

    def test_the_language_stays_through_log_out_and_log_in(self) -> None:
        client = Client(headers={"accept-language": "en"})
        sign_in(client)
        client.post("/segmentation/language/", {"language": "ko", "next": LIST})
        client.post(LOGOUT)
        assert '<html lang="ko">' in text_of(client.get(LOGIN))
        sign_in(client)
        assert '<html lang="ko">' in text_of(client.get(LIST))

    def test_the_site_begins_at_the_list(self) -> None:
        answer: Any = Client().get("/")
        assert (answer.status_code, answer["Location"]) == (302, LIST)


class TestTooManyGuesses:
    """The page counts in every project, with and without the guard in its settings."""

    @pytest.fixture(autouse=True)
    def few(self, settings: Settings, user: User) -> None:
        settings.SEGRELAY = settings.SEGRELAY | {"GUESS_RATE": "3/d", "GUESS_ADDRESS_RATE": "5/d"}

    @pytest.mark.parametrize("is_guarded", [True, False])
    def test_who_guesses_waits(self, settings: Settings, is_guarded: bool) -> None:
        if not is_guarded:
            settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
            settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Guess" not in name]
        assert [sign_in().status_code for _ in range(5)] == [302] * 5
        assert [sign_in(password="wrong").status_code for _ in range(3)] == [200] * 3
        client = Client(headers={"accept-language": "ko"})
        answer = sign_in(client, next=STUDY)
        assert answer.status_code == 429
        assert "sessionid" not in answer.cookies
        minutes = -(-int(answer["Retry-After"]) // 60)
        assert f"{minutes}분 후에 다시 시도하십시오." in text_of(answer)
        assert f'name="next" value="{STUDY}"' in text_of(answer)
        assert 'value="radiologist"' in text_of(answer)
        assert sorted(GuessCount.objects.values_list("count", flat=True)) == [3, 3]

    def test_a_guard_that_a_project_derives_counts_once(self, settings: Settings) -> None:
        settings.AUTHENTICATION_BACKENDS = [
            f"{__name__}.{OurGuard.__name__}",
            "django.contrib.auth.backends.ModelBackend",
        ]
        assert sign_in(password="wrong").status_code == 200
        assert list(GuessCount.objects.values_list("count", flat=True)) == [1, 1]


class OurGuard(GuessGuard):
    """A project's own."""


class TestPermission:
    """An account that may not see the pages."""

    @pytest.mark.parametrize(
        ("language", "sentence"),
        [("en", "An administrator of this site can give it"), ("ko", "이 사이트의 관리자가")],
    )
    def test_who_can_give_it_is_said(self, language: str, sentence: str) -> None:
        radiologist("add_job")
        client = Client(headers={"accept-language": language})
        answer = sign_in(client)
        assert answer["Location"] == LIST
        page = client.get(LIST)
        assert page.status_code == 403
        assert "no-store" in page["Cache-Control"]
        for text in (sentence, "labseg.view_job", "radiologist", f'action="{LOGOUT}"'):
            assert text in text_of(page)

    def test_nobody_is_not_somebody_without_permission(self) -> None:
        answer = Client().get(API)
        assert answer.status_code in (401, 403)
        assert answer.json()["code"] == "not-logged-in"
        radiologist("add_job")
        client = Client()
        sign_in(client)
        assert "code" not in client.get(API).json()


class TestPassword:
    """Every account changes its own."""

    @pytest.fixture
    def client(self, user: User) -> Client:
        client = Client()
        sign_in(client)
        return client

    def change(self, client: Client, old: str = RIGHT, new: str = NEW, again: str = NEW) -> Any:
        form = {"old_password": old, "new_password1": new, "new_password2": again}
        return client.post(PASSWORD, form)

    def test_is_changed_by_somebody_who_is_no_staff(self, client: Client) -> None:
        assert f'href="{PASSWORD}"' in text_of(client.get(LIST))
        answer = self.change(client)
        assert answer["Location"] == "/segmentation/password/changed/"
        assert "valid from now on" in text_of(client.get(answer["Location"]))
        assert client.get(LIST).status_code == 200
        assert sign_in().status_code == 200
        assert sign_in(password=NEW).status_code == 302

    @pytest.mark.parametrize(
        "given", [{"old": "wrong"}, {"again": "other"}, {"new": "12345", "again": "12345"}]
    )
    def test_what_is_wrong_is_said(self, client: Client, given: dict[str, str]) -> None:
        page = text_of(self.change(client, **given))
        assert "The password is not changed" in page
        assert 'class="warning"' in page
        assert sign_in().status_code == 302

    def test_strangers_are_led_to_the_login(self) -> None:
        for address in (PASSWORD, f"{PASSWORD}changed/", f"{LOGIN}again/"):
            answer: Any = Client().get(address)
            assert answer["Location"] == f"{LOGIN}?next={address}"

    def test_one_that_is_kept_elsewhere_is_not_changed_here(self, user: User) -> None:
        user.set_unusable_password()
        user.save()
        client = Client()
        client.force_login(user)
        assert PASSWORD not in text_of(client.get(LIST))
        assert client.get(PASSWORD).status_code == 404


class TestProject:
    """Somebody's project decides by its own settings."""

    def test_with_a_login_page_of_its_own_that_is_the_only_way_in(
        self, project: Settings, user: User
    ) -> None:
        answer: Any = Client().get(STUDY)
        assert answer["Location"] == f"/hospital/login/?next={STUDY}"
        answer = Client().get(LOGIN, {"next": STUDY})
        assert answer["Location"] == f"/hospital/login/?next={STUDY}"
        assert "sessionid" not in sign_in().cookies
        assert check_login_page() == []

    @pytest.mark.parametrize("address", ["hospital-login", "https://sso.example/login?x=1"])
    def test_by_name_and_on_another_server(self, project: Settings, address: str) -> None:
        project.LOGIN_URL = address
        answer: Any = Client().get(STUDY)
        assert answer["Location"].startswith(("/hospital/login/", "https://sso.example/login?x=1"))
        assert check_login_page() == []

    @pytest.mark.parametrize(
        "address", ["/accounts/login/", "no-such-name", "accounts/login", None]
    )
    def test_where_it_leads_nowhere_the_app_has_its_own(
        self, project: Settings, user: User, address: str | None
    ) -> None:
        project.LOGIN_URL = address
        assert [item.id for item in check_login_page()] == ["labseg.W004"]
        client = Client()
        first: Any = client.get(STUDY)
        assert first["Location"] == f"{LOGIN}?next={STUDY}"
        assert client.get(first["Location"]).status_code == 200
        assert sign_in(client).status_code == 302
        after = client.post(LOGOUT, follow=True)
        assert (after.status_code, after.redirect_chain[-1][0]) == (200, f"{LOGIN}?next={LIST}")

    def test_in_a_folder_of_the_server(self, project: Settings) -> None:
        project.FORCE_SCRIPT_NAME = "/pacs"
        project.LOGIN_URL = "labseg-pages:login"
        # As the WSGI handler does; the tests' client leaves it out.
        set_script_prefix("/pacs/")
        try:
            answer: Any = Client().get(STUDY)
            assert answer["Location"] == f"/pacs{LOGIN}?next=/pacs{STUDY}"
            page = Client().get(LOGIN)
            assert page.status_code == 200
            project.LOGIN_URL = "/portal/login/"
            answer = Client().get(STUDY)
            assert answer["Location"].startswith("/portal/login/?next=")
        finally:
            set_script_prefix("/")

    @pytest.mark.parametrize(
        ("chosen", "leads_to"),
        [
            (None, LIST),
            ("/hospital/login/", "/hospital/login/"),
            ("https://sso.example/out", "https://sso.example/out"),
            ("no-such-name", LIST),
            ("/nothing/here/", LIST),
        ],
    )
    def test_log_out_ends_where_there_is_something(
        self, project: Settings, user: User, chosen: str | None, leads_to: str
    ) -> None:
        project.LOGOUT_REDIRECT_URL = chosen
        client = Client()
        client.force_login(user)
        answer: Any = client.post(LOGOUT)
        assert (answer.status_code, answer["Location"]) == (302, leads_to)
        assert client.get(API).json()["code"] == "not-logged-in"

    def test_behind_a_middleware_that_asks_everybody_to_log_in(
        self, project: Settings, user: User
    ) -> None:
        project.LOGIN_URL = "/accounts/login/"
        project.MIDDLEWARE = [
            *project.MIDDLEWARE,
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ]
        client = Client()
        assert client.get(STUDY).headers["Location"] == f"{LOGIN}?next={STUDY}"
        assert client.get(LOGIN).status_code == 200
        assert client.get("/segmentation/texts.js").status_code == 200
        moved = client.post("/segmentation/language/", {"language": "ko", "next": LOGIN})
        assert moved.headers["Location"] == LOGIN
        assert sign_in(client, next=STUDY)["Location"] == STUDY

    def test_without_the_context_processors_of_django(self, project: Settings, user: User) -> None:
        project.LOGIN_URL = "labseg-pages:login"
        project.TEMPLATES = [
            {**project.TEMPLATES[0], "OPTIONS": {"string_if_invalid": "INVALID(%s)"}}
        ]
        client = Client()
        assert "INVALID" not in text_of(client.get(LOGIN))
        sign_in(client)
        page = text_of(client.get(STUDY))
        assert "INVALID" not in page
        assert ">radiologist<" in page
