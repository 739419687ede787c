"""Wrong passwords, at every way in: who guesses waits, and nobody else."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import rest_framework
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client, RequestFactory
from pytest_django import Settings
from rest_framework.authentication import BasicAuthentication
from rest_framework.settings import api_settings

from gcp_side.labseg.access import brute_force
from gcp_side.labseg.checks import check_login_guard
from gcp_side.labseg.models import GuessCount
from tests.unit.gcp_side.fakes import radiologist

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orthanc")]

ADDRESS = "/api/mri/segmentation/requests/"
RIGHT = "a-password"
HOME, ELSEWHERE = "192.0.2.1", "192.0.2.99"
NOW = 1_800_000_123
HOUR = 3600


class Clock:
    """Seconds since 1970, as the test says."""

    now = NOW

    def time(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Clock:
    settings.SEGRELAY = settings.SEGRELAY | {
        "GUESS_RATE": "3/h",
        "GUESS_ADDRESS_RATE": "5/h",
    }
    radiologist()
    radiologist(name="colleague")
    clock = Clock()
    monkeypatch.setattr(brute_force, "time", clock)
    return clock


def ask(
    password: str, *, name: str = "radiologist", at: str = HOME, forwarded: str | None = None
) -> Any:
    text = base64.b64encode(f"{name}:{password}".encode()).decode()
    extra: dict[str, Any] = {"REMOTE_ADDR": at}
    if forwarded is not None:
        extra["HTTP_X_FORWARDED_FOR"] = forwarded
    return Client(headers={"authorization": f"Basic {text}"}).get(ADDRESS, **extra)


def guess(count: int, **whose: str) -> list[int]:
    return [ask(f"wrong-{n}", **whose).status_code for n in range(count)]


def test_after_some_wrong_passwords_the_right_one_waits_as_well() -> None:
    assert guess(4) == [403, 403, 403, 429]
    answer = ask(RIGHT)
    assert answer.status_code == 429
    assert answer.json()["success"] is False
    assert answer.json()["error"].startswith("There were too many wrong passwords.")
    assert int(answer["Retry-After"]) == HOUR - NOW % HOUR


def test_a_name_that_no_database_holds_is_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was looked up")

    monkeypatch.setattr(BasicAuthentication, "authenticate_credentials", refuse)
    assert guess(4, name="radio\0logist") == [403, 403, 403, 429]


def test_it_is_over_when_the_answer_said_so(clock: Clock) -> None:
    guess(4)
    clock.now += int(ask(RIGHT)["Retry-After"]) - 1
    assert ask(RIGHT).status_code == 429
    clock.now += 1
    assert ask(RIGHT).status_code == 200


def test_the_owner_comes_in_from_another_address() -> None:
    guess(4, at=ELSEWHERE)
    assert ask(RIGHT).status_code == 200
    assert ask(RIGHT, at=ELSEWHERE).status_code == 429


def test_another_account_from_the_same_address_comes_in() -> None:
    guess(4)
    assert ask(RIGHT, name="colleague").status_code == 200


def test_many_accounts_from_one_address_are_one_guesser() -> None:
    statuses = [guess(1, name=f"somebody-{n}") for n in range(6)]
    assert statuses == [[403]] * 5 + [[429]]
    assert ask(RIGHT, name="colleague").status_code == 429
    assert ask(RIGHT, name="colleague", at=ELSEWHERE).status_code == 200


def test_right_passwords_are_never_counted() -> None:
    guess(2)
    assert [ask(RIGHT).status_code for _ in range(8)] == [200] * 8


def test_a_session_is_not_a_guess() -> None:
    guess(4)
    client = Client()
    assert client.login(username="radiologist", password=RIGHT)
    assert client.get(ADDRESS, REMOTE_ADDR=HOME).status_code == 200


@pytest.mark.parametrize("proxies", [None, 0])
def test_an_address_that_the_guesser_writes_himself_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, proxies: int | None
) -> None:
    monkeypatch.setattr(api_settings, "NUM_PROXIES", proxies)
    answers = [ask(f"wrong-{n}", forwarded=f"198.51.100.{n}").status_code for n in range(4)]
    assert answers == [403, 403, 403, 429]


def test_behind_a_proxy_the_address_is_what_the_proxy_adds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api_settings, "NUM_PROXIES", 1)
    for n in range(4):
        ask(f"wrong-{n}", forwarded=f"203.0.113.{n}, 198.51.100.7")
    assert ask(RIGHT, forwarded="198.51.100.7").status_code == 429
    assert ask(RIGHT, forwarded="198.51.100.8").status_code == 200


def test_names_and_passwords_are_neither_logged_nor_kept(caplog: pytest.LogCaptureFixture) -> None:
    ask("hunter2", name="my-password-in-the-wrong-field")
    sign_in("hunter2", name="my-password-in-the-wrong-field")
    kept = list(GuessCount.objects.values_list("key", flat=True))
    shown = caplog.text + "".join(kept)
    assert len(kept) == 2
    assert "wrong name or password refused" in caplog.text
    for text in ("hunter2", "my-password", HOME):
        assert text not in shown


def test_windows_that_are_over_are_removed(clock: Clock) -> None:
    guess(2)
    clock.now += 2 * HOUR
    guess(1)
    assert list(GuessCount.objects.values_list("count", flat=True)) == [1, 1]


def sign_in(
    password: str,
    *,
    name: str = "radiologist",
    at: str = HOME,
    page: str = "/admin/login/",
    **headers: str,
) -> Any:
    """A form that is posted without a browser."""
    return Client(headers=headers).post(
        page, {"username": name, "password": password, "next": "/elsewhere/"}, REMOTE_ADDR=at
    )


def sign_in_wrongly(count: int, **whose: str) -> list[int]:
    return [sign_in(f"wrong-{n}", **whose).status_code for n in range(count)]


@pytest.fixture
def staff() -> None:
    User.objects.update(is_staff=True)


@pytest.mark.usefixtures("staff")
class TestLoginPage:
    """The admin's login page is the site's own."""

    def test_after_some_wrong_passwords_the_right_one_waits_as_well(self) -> None:
        assert sign_in_wrongly(4) == [200, 200, 200, 429]
        answer = sign_in(RIGHT)
        assert answer.status_code == 429
        assert int(answer["Retry-After"]) == HOUR - NOW % HOUR
        assert answer["Cache-Control"] == "no-store"
        assert "sessionid" not in answer.cookies

    @pytest.mark.parametrize(
        ("language", "sentence"),
        [
            ("en", "There were too many wrong passwords. Try again in 58 min."),
            ("ko", "잘못된 비밀번호를 너무 많이 입력했습니다. 58분 후에 다시 시도하십시오."),
        ],
    )
    def test_the_answer_is_a_sentence_in_the_users_language(
        self, language: str, sentence: str
    ) -> None:
        sign_in_wrongly(3)
        answer = sign_in(RIGHT, **{"accept-language": language})
        assert sentence in answer.content.decode()
        assert f'lang="{language}"' in answer.content.decode()

    def test_the_owner_comes_in_from_another_address(self) -> None:
        sign_in_wrongly(4, at=ELSEWHERE)
        assert sign_in(RIGHT).status_code == 302
        assert sign_in(RIGHT, at=ELSEWHERE).status_code == 429

    def test_many_accounts_from_one_address_are_one_guesser(self) -> None:
        assert [sign_in_wrongly(1, name=f"somebody-{n}")[0] for n in range(6)] == [
            *[200] * 5,
            429,
        ]
        assert sign_in(RIGHT).status_code == 429
        assert sign_in(RIGHT, at=ELSEWHERE).status_code == 302

    def test_right_passwords_are_never_counted(self) -> None:
        sign_in_wrongly(2)
        assert [sign_in(RIGHT).status_code for _ in range(8)] == [302] * 8
        assert sign_in_wrongly(2) == [200, 429]

    def test_a_right_password_of_somebody_who_may_not_come_in_is_no_guess(self) -> None:
        User.objects.filter(username="colleague").update(is_staff=False)
        assert [sign_in(RIGHT, name="colleague").status_code for _ in range(6)] == [200] * 6

    def test_what_was_refused_is_not_counted_on(self) -> None:
        sign_in_wrongly(9)
        assert sorted(GuessCount.objects.values_list("count", flat=True)) == [3, 3]

    def test_every_way_in_counts_together(self) -> None:
        assert [*guess(2), *sign_in_wrongly(2)] == [403, 403, 200, 429]
        assert ask(RIGHT).status_code == 429

    @pytest.mark.parametrize("name", ["RADIOLOGIST", " radiologist", "\uff52adiologist"])
    def test_a_name_is_one_however_it_is_spelled(self, name: str) -> None:
        sign_in_wrongly(3)
        assert sign_in("wrong", name=name).status_code == 429

    def test_a_name_that_nobody_has_is_answered_alike(self) -> None:
        known, unknown = (sign_in("wrong", name=name) for name in ("radiologist", "nobody"))
        pages = [
            re.sub(r'value="[^"]*"', "", answer.content.decode()) for answer in (known, unknown)
        ]
        assert pages[0] == pages[1]
        assert sign_in_wrongly(3, name="nobody") == [200, 200, 429]

    def test_a_name_that_nobody_has_takes_as_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hashed: list[str] = []
        encode = MD5PasswordHasher.encode

        def watched(self: MD5PasswordHasher, password: str, salt: str) -> str:
            hashed.append(password)
            return encode(self, password, salt)

        monkeypatch.setattr(MD5PasswordHasher, "encode", watched)
        for name in ("radiologist", "nobody"):
            sign_in("wrong", name=name)
        assert hashed == ["wrong", "wrong"]

    def test_the_page_itself_is_shown(self) -> None:
        sign_in_wrongly(4)
        assert Client().get("/admin/login/", REMOTE_ADDR=HOME).status_code == 200


@pytest.mark.usefixtures("staff")
@pytest.mark.parametrize(
    ("addresses", "same"),
    [
        (["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3", "2001:db8:0:0:9::"], True),
        (["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1", "2001:db8:0:4::1"], False),
        (["::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1:5000", "192.0.2.1:5001"], True),
        (["[2001:db8::1]:77", "2001:db8::1%eth0", "[2001:db8::2]:78", "2001:db8::3"], True),
        (["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], False),
        (["no address", "no address", "no address", "no address"], True),
    ],
)
def test_a_guesser_has_an_address_or_a_network_of_ipv6(addresses: list[str], same: bool) -> None:
    last = [sign_in("wrong", at=at).status_code for at in addresses][-1]
    assert last == (429 if same else 200)


@pytest.mark.usefixtures("staff")
@pytest.mark.parametrize("page", ["/host/login/", "/host/api-auth/"])
def test_a_login_page_of_another_project_has_the_guard_by_two_settings(
    settings: Settings, page: str
) -> None:
    settings.ROOT_URLCONF = "tests.unit.gcp_side.login_urls"
    settings.TEMPLATES = [
        {**settings.TEMPLATES[0], "DIRS": [str(Path(rest_framework.__file__).parent / "templates")]}
    ]
    assert sign_in_wrongly(4, page=page) == [200, 200, 200, 429]
    assert sign_in(RIGHT, page=page, at=ELSEWHERE).status_code == 302


@pytest.mark.usefixtures("staff")
def test_a_token_endpoint_answers_as_the_framework_does(settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.unit.gcp_side.login_urls"
    page = "/host/check/"
    assert [sign_in(RIGHT, page=page).status_code for _ in range(6)] == [200] * 6
    assert sign_in_wrongly(4, page=page) == [400, 400, 400, 429]
    assert "Retry-After" in sign_in(RIGHT, page=page)


@pytest.mark.django_db(transaction=True)
def test_a_request_that_takes_back_what_it_wrote_counts_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    settings.ROOT_URLCONF = "tests.unit.gcp_side.login_urls"
    assert sign_in_wrongly(4, page="/host/check/") == [400, 400, 400, 429]


def test_a_guard_without_its_middleware_is_named(settings: Settings) -> None:
    assert check_login_guard() == []
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "GuessGuard" not in name]
    assert [item.id for item in check_login_guard()] == ["labseg.W003"]
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    assert check_login_guard() == []
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "gcp_side.labseg.access.brute_force.GuessGuard",
    ]
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "gcp_side.labseg.access.brute_force.GuessGuardMiddleware",
    ]
    assert [item.id for item in check_login_guard()] == ["labseg.W003"]


def test_programs_are_not_counted() -> None:
    for _ in range(9):
        assert authenticate(username="radiologist", password="wrong") is None
    assert not GuessCount.objects.exists()


def test_an_asynchronous_way_in_is_counted_as_well() -> None:
    request = RequestFactory().post("/", REMOTE_ADDR=HOME)
    for _ in range(3):
        assert authenticate(request, username="radiologist", password="wrong") is None
    with pytest.raises(brute_force.TooManyAttemptsError):
        async_to_sync(aauthenticate)(request, username="radiologist", password=RIGHT)
