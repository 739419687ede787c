"""Wrong passwords of Basic authentication: whoever guesses waits, and nobody else."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings
from rest_framework.settings import api_settings

from gcp_side.labseg import guessing
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
    monkeypatch.setattr(guessing, "time", clock)
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


def test_a_counter_that_the_cache_has_dropped_starts_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(_: str) -> int:
        raise ValueError

    guess(2)
    with monkeypatch.context() as patch:
        patch.setattr(cache, "incr", gone)
        guess(1)
    assert guess(3) == [403, 403, 429]


def test_names_and_passwords_are_neither_logged_nor_kept(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    add = cache.add

    def watched(name: str, *arguments: Any, **more: Any) -> bool:
        names.append(name)
        return bool(add(name, *arguments, **more))

    monkeypatch.setattr(cache, "add", watched)
    ask("hunter2", name="my-password-in-the-wrong-field")
    shown = caplog.text + "".join(names)
    assert any("guesses" in name for name in names)
    for text in ("hunter2", "my-password", HOME):
        assert text not in shown
