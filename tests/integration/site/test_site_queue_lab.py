"""The lab's commands with a queue that the real site keeps: setup, doctor, queue, status, start."""

from __future__ import annotations

import getpass
import io
import sys
from functools import partial
from pathlib import Path

import certifi
import pytest
from pytest_django import Settings

from gcp_side.labseg.queue.rows import QueueObject
from gcp_side.labseg.queue.tokens import add_token, revoke_tokens
from infra.servers.certificates import Authority
from infra.servers.nginx import NginxServer
from lab_side import conformance
from lab_side.commands.setup import trials
from lab_side.conformance import PROMISES, try_promises
from lab_side.settings.loading import load_config, load_queue_config
from segrelay import names
from segrelay.bucket import open_bucket
from segrelay.bucket.site import SiteBucket
from segrelay.errors import FixConfigurationError
from tests.support.command_line import Cli, Running
from tests.support.lab.bare_computer import file as file
from tests.support.lab.bare_computer import lab as lab
from tests.support.lab.bare_computer import on_a_bare_computer as on_a_bare_computer
from tests.support.servers.raw_server import answer, raw_server

pytestmark = pytest.mark.django_db(transaction=True)

CONFIGURATION, NOT_NOW = 78, 75
AGENT = "lab-1"


class Person:
    """Somebody at a terminal who types addresses and secrets, one after another."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        addresses: list[str],
        tokens: list[str],
        authority: str = "",
    ):
        self.addresses, self.tokens, self._authority = addresses, tokens, authority
        self.asked: list[str] = []
        monkeypatch.setattr("builtins.input", self._answer)
        monkeypatch.setattr(getpass, "getpass", self._token)
        monkeypatch.setattr("lab_side.commands.setup.command.is_on_terminal", lambda: True)

    def _answer(self, question: str) -> str:
        if question.startswith("The certificate"):
            return self._authority
        return self.addresses.pop(0) if question.startswith("Queue") else ""

    def _token(self, question: str) -> str:
        self.asked.append(question)
        return self.tokens.pop(0)


ORTHANC = ("--orthanc-url", "https://orthanc.example.org", "--orthanc-user", "")


def set_up(lab: Cli, file: Path, *options: str, code: int = 0) -> str:
    given = ("--agent-id", AGENT, *ORTHANC, *options)
    return lab("--config", str(file), "setup", *given, code=code)


def test_setup_takes_an_address_and_a_token_and_nothing_else(
    lab: Cli, file: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = add_token(AGENT)
    person = Person(monkeypatch, [address], [token])
    said = set_up(lab, file)
    assert "The site's queue answers, and lets this agent in." in said
    assert f"Token of {AGENT} (not shown)" in person.asked[0]
    assert token not in said + lab.said.err + file.read_text()
    secret = file.parent / "credentials" / "queue-token"
    assert secret.read_text().strip() == token
    assert secret.stat().st_mode & 0o077 == 0
    config = load_config(file, {})
    assert (config.bucket, config.agent_id) == (address, AGENT)
    # A second run offers what was kept.
    person = Person(monkeypatch, [""], [""])
    set_up(lab, file)
    assert "empty keeps the stored one" in person.asked[0]
    assert secret.read_text().strip() == token


def test_a_certificate_of_the_hospitals_own_authority(
    lab: Cli,
    file: Path,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    tmp_path: Path,
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    monkeypatch.delenv("SEGRELAY_WORK_DIR")
    authority = Authority(tmp_path)
    site, path = address[: address.index("/api")], address[address.index("/api") :]
    with NginxServer(site, authority.issue("site")) as nginx:
        trusted = str(authority.certificate)
        # A variable of the environment does not overrule the setting.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
        Person(monkeypatch, [nginx.url + path], [add_token(AGENT)], trusted)
        said = set_up(lab, file, "--work-dir", str(tmp_path / "work"))
        assert "The site's queue answers, and lets this agent in." in said
        assert load_config(file, {}).queue_ca_file == authority.certificate
        report = lab.json("--config", str(file), "doctor", "--quick", code=NOT_NOW)
    found = {item["check"]: item["verdict"] for item in report["findings"]}
    assert found["certificate of the site"] == found["self-test"] == "OK"


def test_each_wrong_answer_is_said_in_one_line_and_asked_for_again(
    lab: Cli, file: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = address.removesuffix("/api/mri/segmentation/queue")
    revoked = add_token(AGENT)
    revoke_tokens(AGENT)
    foreign, right = add_token("lab-2"), add_token(AGENT)
    monkeypatch.setattr(trials, "TRIAL_SECONDS", 0.5)
    login = raw_server(answer(b"<html>Log in</html>", headers="Content-Type: text/html\r\n"))
    with login as page:
        person = Person(
            monkeypatch,
            [
                "http://site.example.org/api/mri/segmentation/queue",
                "site.example.org/api/mri/segmentation/queue",
                f"{page.url}/queue",
                f"{site}/nowhere/queue",
                address,
            ],
            ["wrong", revoked, foreign, right],
        )
        said = set_up(lab, file)
    for line in (
        "  ! The bucket address 'http://site.example.org/api/mri/segmentation/queue' would show",
        "    Did you mean https://site.example.org/api/mri/segmentation/queue?",
        "  ! There is a page, or another service's answer, where the queue of the site should",
        f"  ! There is no queue at {site}/nowhere/queue (404).",
        "  ! The site knows no token of this agent",
        f"  ! This agent is {AGENT}. The site does not let this agent do this (refresh): the token "
        "is of lab-2,",
    ):
        assert line in said, line
    assert said.count("knows no token") == 2
    assert not person.addresses + person.tokens
    for token in (revoked, foreign, right):
        assert token not in said
    secret = file.parent / "credentials" / "queue-token"
    assert secret.read_text().strip() == right


def test_a_site_whose_queue_is_elsewhere(
    lab: Cli, file: Path, address: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "gs://bucket-1/queue"}
    token = add_token(AGENT)
    Person(monkeypatch, [address], [token, token])
    assert "! The site does not keep the queue itself." in set_up(lab, file)


def test_without_a_terminal_the_token_comes_by_standard_input(
    lab: Cli, file: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("the-token\nthe-password\n"))
    options = ("--queue-token-stdin", "--password-stdin", "--orthanc-user", "lab")
    set_up(lab, file, "--bucket", address, *options)
    folder = file.parent / "credentials"
    assert (folder / "queue-token").read_text() == "the-token\n"
    assert (folder / "orthanc-password").read_text() == "the-password\n"
    file.unlink()
    (folder / "queue-token").unlink()
    set_up(lab, file, "--bucket", address, code=CONFIGURATION)
    assert "--queue-token-stdin" in lab.said.err
    assert not file.exists()


@pytest.mark.parametrize("text", ["address  https://s/queue", "token    sgr_x", "sgr_한글"])
def test_what_cannot_be_a_token_is_not_kept(
    lab: Cli, file: Path, address: str, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{text}\nthe-password\n"))
    options = ("--queue-token-stdin", "--password-stdin", "--orthanc-user", "lab")
    set_up(lab, file, "--bucket", address, *options, code=CONFIGURATION)
    assert "begins with sgr_" in lab.said.err
    assert text not in lab.said.err
    assert not file.exists()


@pytest.mark.parametrize("bucket", ["redis://127.0.0.1/0/q", "file:///srv/queue"])
def test_a_token_for_a_queue_that_has_none_is_not_dropped_in_silence(
    lab: Cli, file: Path, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("the-token\nthe-password\n"))
    options = ("--queue-token-stdin", "--password-stdin", "--orthanc-user", "lab")
    set_up(lab, file, "--bucket", bucket, *options, code=CONFIGURATION)
    assert "--queue-token-stdin is for another kind of queue" in lab.said.err
    assert not file.exists()


def configure(file: Path, address: str, token: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    credentials = file.parent / "credentials"
    credentials.mkdir(exist_ok=True)
    file.write_text(
        f'bucket = "{address}"\nagent_id = "{AGENT}"\ncredentials_dir = "{credentials}"\n'
    )
    secret = credentials / "queue-token"
    secret.write_text(token)
    secret.chmod(0o600)


def test_the_doctor_checks_token_rights_clock_and_promises(
    lab: Cli, file: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGRELAY_WORK_DIR")
    # All of them are tried on the site's store itself; here it is the way that counts.
    few = (*PROMISES[:2], *PROMISES[-3:])
    monkeypatch.setattr(conformance, "try_promises", partial(try_promises, promises=few))
    configure(file, address, add_token(AGENT))
    report = lab.json("--config", str(file), "doctor", "--conformance")
    found = {item["check"]: item for item in report["findings"]}
    for check in ("token for the queue", "waiting for jobs", "clock of the queue", "self-test"):
        assert found[check]["verdict"] == "OK", found[check]
    assert found["waiting for jobs"]["detail"].startswith("the site holds a call")
    assert found["conformance"]["detail"].startswith(f"{len(few)} of {len(few)}")
    assert {item["verdict"] for item in found.values()} == {"OK", "NOT KNOWN"}
    assert not QueueObject.objects.exists()
    configure(file, address, add_token("lab-2"))
    report = lab.json("--config", str(file), "doctor", code=CONFIGURATION)
    (failed,) = (item for item in report["findings"] if item["verdict"] == "FAILED")
    assert failed["check"] == "token for the queue"
    assert AGENT in failed["detail"]
    assert "lab-2" in failed["detail"]


def test_the_queue_is_looked_at_with_the_token(lab: Cli, file: Path, address: str) -> None:
    token = add_token(AGENT)
    configure(file, address, token)
    Running(open_bucket(address, token=lambda: token), AGENT)
    assert AGENT in lab("--config", str(file), "queue")
    assert load_queue_config(file, {}).bucket == address
    revoke_tokens(AGENT)
    lab("--config", str(file), "queue", code=CONFIGURATION)
    assert "bucket-credentials" in lab.said.err


def test_two_computers_of_one_agent_id_and_the_token_of_another(address: str) -> None:
    token = add_token(AGENT)
    bucket = open_bucket(address, token=lambda: token)
    Running(bucket, AGENT)
    with pytest.raises(FixConfigurationError) as caught:
        SiteBucket(address, lambda: add_token("lab-2")).verify_agent(AGENT)
    assert caught.value.code == "bucket-forbidden"
    assert "\n" not in caught.value.message
    assert AGENT in caught.value.message
    assert "lab-2" in caught.value.message
    assert bucket.list(names.AGENTS)
