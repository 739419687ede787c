"""``lab-agent setup``: one file, read by one account, and no secret in it."""

from __future__ import annotations

import builtins
import getpass
import hashlib
import io
import os
import shutil
import stat
import sys
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import certifi
import keyring
import pytest
from keyring.backend import KeyringBackend

from lab_side import cli
from lab_side.settings import settings_file
from lab_side.settings.loading import load_config
from lab_side.settings.secrets import FOLDER_VARIABLE
from segrelay.errors import FixConfigurationError
from tests.support.command_line import Cli
from tests.support.lab.bare_computer import bare_computer
from tests.support.networks.tiny_profile import write_tiny_profile
from tests.support.servers.answering_orthanc import PASSWORD as ORTHANCS
from tests.support.servers.answering_orthanc import USER, AnsweringOrthanc
from tests.support.servers.serving import serving

PASSWORD = "hunter2 \" \\ # ' 비밀"
CONFIGURATION = 78
NO_PASSWORD = ("--bucket", "gs://bucket/q", "--orthanc-url", "https://orthanc.example.org")
FLAGS = (*NO_PASSWORD, "--orthanc-user", "lab", "--password-stdin")


class KeepingKeyring(KeyringBackend):
    """A keyring for one test."""

    priority = 1

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


@pytest.fixture(autouse=True)
def _a_bare_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with bare_computer(tmp_path, monkeypatch):
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "agent.toml"


@pytest.fixture
def lab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
    return Cli(capsys)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_a_keyring_the_password_is_in_a_private_file(lab: Cli, file: Path) -> None:
    said = lab("--config", str(file), "setup", *FLAGS)
    assert f"lab-agent --config {file} doctor" in said
    config = load_config(file, {})
    assert (config.bucket, config.orthanc.user) == ("gs://bucket/q", "lab")
    assert config.orthanc.password.get_secret_value() == PASSWORD
    secret = file.parent / "credentials" / "orthanc-password"
    assert (mode(file), mode(secret), mode(secret.parent)) == (0o600, 0o600, 0o700)
    assert "hunter2" not in said + file.read_text()
    assert sorted(path.name for path in file.parent.iterdir()) == ["agent.toml", "credentials"]
    assert file.read_text().count("#") > 5, "it is commented"


def test_with_a_keyring_there_is_no_file_of_secrets(lab: Cli, file: Path) -> None:
    ring = KeepingKeyring()
    keyring.set_keyring(ring)
    assert "in the keyring" in lab("--config", str(file), "setup", *FLAGS)
    assert ring.kept == {("segrelay-orthanc", "lab"): PASSWORD}
    assert load_config(file, {}).orthanc.password.get_secret_value() == PASSWORD
    assert [path.name for path in file.parent.iterdir()] == ["agent.toml"]


def test_a_keyring_that_keeps_nothing_is_said_where_one_was_asked_for(lab: Cli, file: Path) -> None:
    lab("--config", str(file), "setup", *FLAGS, "--secrets", "keyring", code=CONFIGURATION)
    assert "keyring-unusable" in lab.said.err
    assert not file.exists()


def test_nothing_is_written_over_without_force(lab: Cli, file: Path) -> None:
    file.parent.mkdir()
    file.write_text("mine")
    lab("--config", str(file), "setup", *NO_PASSWORD, code=CONFIGURATION)
    assert "setup-exists" in lab.said.err
    assert file.read_text() == "mine"
    lab("--config", str(file), "setup", *NO_PASSWORD, "--force")
    assert load_config(file, {}).bucket == "gs://bucket/q"
    assert mode(file) == 0o600


def test_own_weights_are_written_with_their_sha256(lab: Cli, file: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'we"ig\\hts'
    odd.mkdir()
    weights = odd / "best model.pth"
    weights.write_bytes(b"weights")
    lab(
        *("--config", str(file), "setup", *NO_PASSWORD),
        *("--profile", "breast-dce-swinunetr", "--weights", str(weights)),
    )
    (model,) = load_config(file, {}).models
    assert (model.profile, model.weights) == ("breast-dce-swinunetr", weights)
    assert model.sha256 == hashlib.sha256(b"weights").hexdigest()


def test_a_directory_own_profiles_and_an_authority(lab: Cli, file: Path, tmp_path: Path) -> None:
    write_tiny_profile(tmp_path / "profiles", "tiny")
    shutil.copy(certifi.where(), tmp_path / "ca.pem")
    lab(
        *("--config", str(file), "setup", "--bucket", str(tmp_path / "queue")),
        *("--orthanc-url", "https://orthanc.example.org", "--orthanc-user", ""),
        *("--profile", "tiny", "--profiles-dir", str(tmp_path / "profiles")),
        *("--orthanc-ca-file", str(tmp_path / "ca.pem"), "--device", "cuda:1"),
        *("--agent-id", "gpu-2"),
    )
    config = load_config(file, {})
    assert config.bucket == (tmp_path / "queue").as_uri()
    assert (config.agent_id, config.device) == ("gpu-2", "cuda:1")
    assert config.orthanc.ca_file == tmp_path / "ca.pem"
    assert list(config.load_profiles()) == ["tiny"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (("--bucket", "s3://b/q"), "bucket-address"),
        (("--orthanc-url", "http://orthanc.example.org"), "orthanc-plain-http"),
        (("--orthanc-url", "https://lab:hunter2@orthanc.example.org"), "orthanc-address"),
        (("--agent-id", "Lab_1"), "configuration"),
        (("--device", "gpu"), "configuration"),
        (("--profile", "nobody-has-it"), "profile-missing"),
        (("--weights", "/nowhere/best.pth"), "weights-missing"),
        (("--weights", "/dev/zero"), "weights-missing"),
        (("--orthanc-ca-file", "/nowhere/ca.pem"), "orthanc-ca-file"),
        (("--orthanc-ca-file", __file__), "orthanc-ca-file"),
        (("--profiles-dir", __file__), "setup-refused"),
        (("--work-dir", __file__), "setup-refused"),
        *(
            ((option, "C:\\segrelay"), "setup-refused")
            for option in ("--bucket", "--work-dir", "--weights", "--profiles-dir")
            if os.name == "posix"
        ),
        (("--orthanc-user", "lab:hunter2"), "configuration"),
        (("--profile", "breast-dce-swinunetr"), "setup-incomplete"),
        (("--orthanc-user", "lab"), "orthanc-password-missing"),
    ],
)
def test_a_wrong_answer_is_named_and_nothing_is_written(
    lab: Cli, file: Path, changes: tuple[str, str], code: str
) -> None:
    lab("--config", str(file), "setup", *NO_PASSWORD, *changes, code=CONFIGURATION)
    assert f"[{code}]" in lab.said.err
    assert "remedy:" in lab.said.err
    assert "hunter2" not in lab.said.err
    assert not file.parent.exists()


@dataclass
class Person:
    """Somebody at a terminal: answers by the beginning of the question, each list in turn."""

    answers: dict[str, list[str]]
    passwords: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def answer(self, question: str) -> str:
        self.asked.append(question)
        for start, answers in self.answers.items():
            if question.startswith(start) and answers:
                return answers.pop(0)
        if question.startswith("Orthanc's user") or "[" in question:
            return ""
        raise EOFError

    def password(self, prompt: str) -> str:
        self.asked.append(prompt)
        return self.passwords.pop(0)

    def sit_down(self, monkeypatch: pytest.MonkeyPatch) -> Person:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        monkeypatch.setattr(builtins, "input", self.answer)
        monkeypatch.setattr(getpass, "getpass", self.password)
        return self

    def times(self, start: str) -> int:
        return sum(question.startswith(start) for question in self.asked)


@pytest.fixture
def orthanc() -> Iterator[str]:
    """A server that answers as Orthanc does to the right user alone."""
    with serving(AnsweringOrthanc()) as url:
        yield url


def test_what_is_not_given_is_asked_for_and_tried(
    lab: Cli, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orthanc: str
) -> None:
    person = Person(
        {
            "Queue": [str(tmp_path / "queue")],
            "Orthanc's address": [orthanc],
            "Orthanc's user": [USER],
        },
        [ORTHANCS],
    ).sit_down(monkeypatch)
    said = lab("--config", str(file), "setup")
    assert "lets this user in" in said
    assert len(person.asked) == 7
    config = load_config(file, {})
    assert (config.orthanc.user, config.models[0].profile) == (USER, "demo")
    assert config.work_dir == tmp_path / "work"
    assert config.orthanc.password.get_secret_value() == ORTHANCS
    assert ORTHANCS not in said + lab.said.err


@pytest.mark.parametrize(
    ("question", "wrong", "said"),
    [
        ("Queue", "s3://b/q", "bucket address"),
        ("Queue", "/proc/self/queue", "may not be written to"),
        ("Orthanc's address", "127.0.0.1:1", "Did you mean http://127.0.0.1:1?"),
        ("Orthanc's address", "orthanc.example.org", "Did you mean https://orthanc.example.org?"),
        ("Orthanc's address", "http://orthanc.example.org", "Plain http to another machine"),
        ("Orthanc's address", "http://127.0.0.1:1", "did not answer (connection refused)"),
        ("Orthanc's user", "nobody", "refuses the user name or password"),
        ("Profile", "dmo", "did you mean demo?"),
        ("Work folder", "/proc/self/work", "may not be written to"),
    ],
)
def test_a_wrong_answer_is_said_at_once_and_asked_for_again(
    lab: Cli,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    orthanc: str,
    question: str,
    wrong: str,
    said: str,
) -> None:
    right = {
        "Queue": str(tmp_path / "queue"),
        "Orthanc's address": orthanc,
        "Orthanc's user": USER,
        "Profile": "demo",
        "Work folder": str(tmp_path / "work"),
    }
    monkeypatch.setattr(os, "access", lambda path, _mode: not str(path).startswith("/proc"))
    answers = {start: [answer] for start, answer in right.items()}
    answers[question].insert(0, wrong)
    person = Person(answers, [ORTHANCS, ORTHANCS]).sit_down(monkeypatch)
    text = lab("--config", str(file), "setup")
    assert said in text
    assert person.times(question) == 2
    assert "[y/n]" not in text
    config = load_config(file, {})
    assert config.orthanc.url == orthanc
    assert config.orthanc.user == USER


def test_a_wrong_password_is_corrected_or_kept(
    lab: Cli, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orthanc: str
) -> None:
    given = ("--bucket", str(tmp_path / "q"), "--orthanc-url", orthanc, "--orthanc-user", USER)
    Person({}, ["wrong-1", ORTHANCS]).sit_down(monkeypatch)
    lab("--config", str(file), "setup", *given)
    assert load_config(file, {}).orthanc.password.get_secret_value() == ORTHANCS
    Person({}, ["wrong-2", "wrong-2"]).sit_down(monkeypatch)
    said = lab("--config", str(file), "setup", *given)
    assert load_config(file, {}).orthanc.password.get_secret_value() == "wrong-2"
    assert "wrong-" not in said + lab.said.err


def test_an_address_that_does_not_answer_can_be_kept(
    lab: Cli, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(
        {"Queue": [str(tmp_path / "q")], "Orthanc's address": ["http://127.0.0.1:1", ""]}
    )
    person.sit_down(monkeypatch)
    lab("--config", str(file), "setup")
    assert load_config(file, {}).orthanc.url == "http://127.0.0.1:1"


def test_a_second_run_offers_the_answers_and_keeps_the_rest(
    lab: Cli, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orthanc: str
) -> None:
    given = ("--bucket", str(tmp_path / "q"), "--orthanc-url", orthanc, "--orthanc-user", USER)
    Person({}, [ORTHANCS]).sit_down(monkeypatch)
    lab("--config", str(file), "setup", *given, "--agent-id", "gpu-2")
    text = file.read_text().replace("min_free_gb = 2", 'min_free_gb = 5.5\nlabels = ["a", "b"]')
    text = text.replace("[[models]]", "retries = 2\n\n[trust]\nsite_keys = []\n\n[[models]]", 1)
    file.write_text(text + '\n[[models]]\nprofile = "brats-segresnet"\n')
    before = tomllib.loads(file.read_text())
    person = Person({"Work folder": [str(tmp_path / "other")]}, [""]).sit_down(monkeypatch)
    lab("--config", str(file), "setup")
    assert person.times("Queue") == 1
    after = tomllib.loads(file.read_text())
    assert after == {**before, "work_dir": str(tmp_path / "other")}
    assert load_config(file, {}).orthanc.password.get_secret_value() == ORTHANCS


@pytest.mark.parametrize("interrupts", ["Queue", "Orthanc's user", "Work folder", "Password"])
def test_ctrl_c_and_a_closed_terminal_leave_nothing(
    lab: Cli,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    orthanc: str,
    interrupts: str,
) -> None:
    person = Person(
        {"Queue": [str(tmp_path / "q")], "Orthanc's address": [orthanc], "Orthanc's user": [USER]},
        [ORTHANCS],
    )
    for error, code, said in (
        (KeyboardInterrupt, 75, "Nothing was written"),
        (EOFError, CONFIGURATION, "setup-incomplete"),
    ):

        def end(question: str, error: type[BaseException] = error) -> str:
            if question.startswith(interrupts):
                raise error
            return person.answer(question)

        person.sit_down(monkeypatch)
        monkeypatch.setattr(builtins, "input", end)
        monkeypatch.setattr(getpass, "getpass", end)
        lab("--config", str(file), "setup", code=code)
        assert said in lab.said.out + lab.said.err
        assert not file.parent.exists()
        person.answers = {
            "Queue": [str(tmp_path / "q")],
            "Orthanc's address": [orthanc],
            "Orthanc's user": [USER],
        }


def test_what_is_given_is_judged_before_anything_is_asked(
    lab: Cli, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options in (("--device", "gpu"), ("--agent-id", "Lab_1"), ("--profile", "dmo")):
        person = Person({}).sit_down(monkeypatch)
        lab("--config", str(file), "setup", *options, code=CONFIGURATION)
        assert person.asked == []


def test_a_terminal_that_would_show_the_password_is_refused(
    lab: Cli, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orthanc: str
) -> None:
    def shows(_prompt: str) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        return "typed in sight"

    Person({"Queue": [str(tmp_path / "q")]}).sit_down(monkeypatch)
    monkeypatch.setattr(getpass, "getpass", shows)
    given = ("--orthanc-url", orthanc, "--orthanc-user", USER)
    lab("--config", str(file), "setup", *given, code=CONFIGURATION)
    assert "--password-stdin" in lab.said.err


def test_it_ends_with_the_command_to_type_next(
    lab: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGRELAY_CONFIG")
    monkeypatch.setattr(settings_file, "_SYSTEM_FOLDER", tmp_path / "etc")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said = lab("setup", *NO_PASSWORD)
    assert "Next:\n  lab-agent doctor\n" in said
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    said = lab("setup", *NO_PASSWORD)
    assert f"Other commands read {tmp_path}/.config/segrelay/agent.toml before it" in said
    assert f"lab-agent --config {tmp_path}/etc/agent.toml doctor" in said


def test_a_secret_that_others_may_read_is_refused(lab: Cli, file: Path) -> None:
    lab("--config", str(file), "setup", *FLAGS)
    secret = file.parent / "credentials" / "orthanc-password"
    secret.chmod(0o640)
    with pytest.raises(FixConfigurationError) as caught:
        load_config(file, {})
    assert caught.value.code == "secret-file-open"
    assert f"chmod 600 {secret}" in caught.value.remedy
    assert "hunter2" not in str(caught.value)
    # The environment's place comes first: systemd has its own guard.
    elsewhere = {FOLDER_VARIABLE: str(file.parent), "SEGRELAY_ORTHANC_PASSWORD": "other"}
    assert load_config(file, elsewhere).orthanc.password.get_secret_value() == "other"


def test_the_help_asks_for_no_secret_as_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.run(["setup", "--help"])
    said = capsys.readouterr().out
    assert "--password-stdin" in said
    assert "--password " not in said


def test_a_folder_that_refuses_is_said(lab: Cli, tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("no folder")
    lab("--config", str(tmp_path / "etc" / "x.toml"), "setup", *NO_PASSWORD, code=CONFIGURATION)
    assert "setup-refused" in lab.said.err
    assert os.linesep in lab.said.err


@pytest.mark.parametrize(
    "option",
    [
        *("bucket", "orthanc-url", "orthanc-ca-file", "profile", "profiles-dir", "weights"),
        *("agent-id", "work-dir", "device"),
    ],
)
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_answer_is_refused(
    option: str, empty: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script's variable that is not set is no answer, and not the folder it runs in."""
    with pytest.raises(SystemExit) as ended:
        cli.run(["--config", str(file), "setup", *NO_PASSWORD, f"--{option}", empty])

    assert ended.value.code == 2
    assert f"argument --{option}: this is empty" in capsys.readouterr().err
    assert not file.parent.exists()


def test_an_empty_config_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.run(["--config", "", "status"])

    assert "argument --config: this is empty" in capsys.readouterr().err


def test_a_device_called_gpu_is_cuda(lab: Cli, file: Path) -> None:
    lab("--config", str(file), "setup", *NO_PASSWORD, "--device", "GPU", code=CONFIGURATION)

    assert "did you mean cuda?" in lab.said.err


def test_a_folder_that_has_gone_is_said(
    lab: Cli, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    lab(
        *("--config", str(file), "setup", "--bucket", "queue", "--profile", "demo"),
        *("--orthanc-url", "https://orthanc.example.org"),
        code=CONFIGURATION,
    )

    assert "does not exist any more" in lab.said.err
