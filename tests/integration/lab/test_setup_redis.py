"""``lab-agent setup`` for a queue in a real Redis: its password, its certificate's authority."""

from __future__ import annotations

import getpass
import io
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.servers.certificates import Authority
from infra.servers.redis import RedisServer
from lab_side import queue_access
from lab_side.settings.loading import load_config, load_queue_config
from tests.support.command_line import Cli
from tests.support.lab.bare_computer import file as file
from tests.support.lab.bare_computer import lab as lab
from tests.support.lab.bare_computer import on_a_bare_computer as on_a_bare_computer

CONFIGURATION, NOT_NOW = 78, 75
PASSWORD = "hunter2 of a redis "
AGENT = "lab-1"
GIVEN = ("--agent-id", AGENT, "--orthanc-url", "https://orthanc.example.org", "--orthanc-user", "")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def encrypted(authority: Authority) -> Iterator[RedisServer]:
    users = {"user": f'lab on ">{PASSWORD}" ~* &* +@all'}
    with RedisServer(users, identity=authority.issue("redis"), authority=authority) as server:
        yield server


@pytest.fixture(scope="module")
def plain() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class Person:
    """Somebody at a terminal: answers by the beginning of the question, each list in turn."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, answers: dict[str, list[str]], secrets: list[str]
    ):
        self._answers, self._secrets = answers, secrets
        self.asked: list[str] = []
        monkeypatch.setattr("builtins.input", self._answer)
        monkeypatch.setattr(getpass, "getpass", self._secret)
        monkeypatch.setattr("lab_side.commands.setup.command.is_on_terminal", lambda: True)

    @property
    def left(self) -> list[str]:
        return [*(text for texts in self._answers.values() for text in texts), *self._secrets]

    def _answer(self, question: str) -> str:
        self.asked.append(question)
        for start, answers in self._answers.items():
            if question.startswith(start) and answers:
                return answers.pop(0)
        return ""

    def _secret(self, prompt: str) -> str:
        self.asked.append(prompt)
        return self._secrets.pop(0)


def set_up(lab: Cli, file: Path, *options: str, code: int = 0) -> str:
    return lab("--config", str(file), "setup", *GIVEN, *options, code=code)


def test_authority_user_and_password_are_asked_for_and_tried(
    lab: Cli,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    encrypted: RedisServer,
    authority: Authority,
    tmp_path: Path,
) -> None:
    address = encrypted.address.replace("//", "//lab@")
    other = Authority(tmp_path).certificate
    answers = {
        "Queue": [address.replace("lab@", "lab:secret@"), address],
        "The certificate": ["/nowhere.pem", str(other), str(authority.certificate)],
    }
    person = Person(monkeypatch, answers, ["wrong", PASSWORD])
    said = set_up(lab, file)
    for line in (
        "holds a password.",
        "  ! The file that queue_ca_file names cannot be read (No such file or directory).",
        "  ! The certificate of the Redis is not trusted here",
        "  ! The Redis refuses the user or the password",
        "  The Redis answers, and lets this user in.",
        "The password of the Redis is in ",
    ):
        assert line in said, line
    assert not person.left
    assert PASSWORD not in said + lab.said.err + file.read_text()
    config = load_config(file, {})
    assert (config.bucket, config.queue_ca_file) == (address, authority.certificate)
    assert queue_access.open_store(load_queue_config(file, {})).list("") == []
    report = lab.json("--config", str(file), "doctor", "--quick", code=NOT_NOW)
    found = {item["check"]: item["verdict"] for item in report["findings"]}
    assert found["certificate of the Redis"] == found["queue server"] == "OK"
    # A second run offers what was kept, and asks for nothing that it knows.
    person = Person(monkeypatch, {}, [""])
    set_up(lab, file)
    assert "Password of lab at the Redis (not shown; empty keeps" in person.asked[-1]
    assert not any("certificate" in asked for asked in person.asked)
    assert load_config(file, {}).queue_ca_file == authority.certificate
    assert (file.parent / "credentials" / "redis-password").read_text() == f"{PASSWORD}\n"


def test_one_without_users_asks_for_no_password(
    lab: Cli, file: Path, monkeypatch: pytest.MonkeyPatch, plain: RedisServer
) -> None:
    person = Person(monkeypatch, {"Queue": [plain.address]}, [])
    set_up(lab, file)
    assert [asked.partition(" ")[0] for asked in person.asked] == ["Queue", "Profile", "Work"]
    assert load_config(file, {}).bucket == plain.address


def test_one_that_keeps_nothing_is_said_and_no_password_is_asked_for_again(
    lab: Cli, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisServer({"appendonly": "no"}) as server, closing(server.client()) as admin:
        admin.config_set("requirepass", "x")
        person = Person(monkeypatch, {"Queue": [server.address]}, ["x"])
        said = set_up(lab, file)
    assert "  ! The Redis does not write each change to a disk" in said
    assert sum("Password" in asked for asked in person.asked) == 1
    assert (file.parent / "credentials" / "redis-password").exists()


def test_without_a_terminal_the_password_comes_by_standard_input(
    lab: Cli, file: Path, monkeypatch: pytest.MonkeyPatch, encrypted: RedisServer
) -> None:
    address = encrypted.address.replace("//", "//lab@")
    set_up(lab, file, "--bucket", address, code=CONFIGURATION)
    assert "--queue-password-stdin" in lab.said.err
    assert not file.exists()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\nthe-password\n"))
    options = ("--queue-password-stdin", "--password-stdin", "--orthanc-user", "lab")
    set_up(lab, file, "--bucket", address, *options)
    folder = file.parent / "credentials"
    assert (folder / "redis-password").read_text() == f"{PASSWORD}\n"
    assert (folder / "orthanc-password").read_text() == "the-password\n"


def test_a_computer_without_the_extra(
    lab: Cli, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "segrelay.bucket.find_spec", lambda name: None if name == "redis" else find_spec(name)
    )
    set_up(lab, file, "--bucket", "rediss://lab@redis.example.org/0/q", code=CONFIGURATION)
    assert "[redis-missing]" in lab.said.err
    assert not file.exists()
