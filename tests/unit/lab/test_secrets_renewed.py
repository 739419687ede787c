"""Secrets are read again while the agent runs: files, the keyring, a command for the token."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend

from lab_side.settings import secrets
from lab_side.settings.config import AgentConfig
from lab_side.settings.loading import COMMAND_PAUSE_S, load_config, secret_renewal
from lab_side.settings.secrets import SECRET_VARIABLES, token_from_command
from segrelay.errors import FixConfigurationError
from tests.support.lab.keyrings import keyring_replaced

MINIMUM = {
    "SEGRELAY_AGENT_ID": "lab-1",
    "SEGRELAY_WORK_DIR": "/var/lib/segrelay",
    "SEGRELAY_BUCKET": "file:///q",
    "SEGRELAY_ORTHANC_URL": "https://orthanc.example.org/",
}


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def printing(path: Path) -> list[str]:
    """A command that prints a file, and writes to its error output."""
    code = "import sys; sys.stderr.write('noise'); print(open(sys.argv[1]).read())"
    return [sys.executable, "-c", code, str(path)]


@pytest.mark.parametrize("kind", ["named file", "folder", "systemd"])
def test_a_token_in_a_file_is_read_again(tmp_path: Path, kind: str) -> None:
    file = private(tmp_path / "orthanc-token", "one\n")
    where = {
        "named file": {"SEGRELAY_ORTHANC_TOKEN_FILE": str(file)},
        "folder": {"SEGRELAY_CREDENTIALS_DIR": str(tmp_path)},
        "systemd": {"CREDENTIALS_DIRECTORY": str(tmp_path)},
    }[kind]
    environment = {**MINIMUM, **where}
    config = load_config(environment=environment)
    assert config.orthanc.token.get_secret_value() == "one"
    renew = secret_renewal(config, environment)
    private(file, "two\n")
    assert renew().token.get_secret_value() == "two"
    assert renew() == renew()


def test_passwords_in_files_are_read_again(tmp_path: Path) -> None:
    password, proxy = tmp_path / "password", tmp_path / "proxy"
    password.write_text("one")
    proxy.write_text("uno")
    environment = {
        **MINIMUM,
        "SEGRELAY_ORTHANC_USER": "lab",
        "SEGRELAY_ORTHANC_PASSWORD_FILE": str(password),
        "SEGRELAY_ORTHANC_PROXY": "http://proxy.example.org:3128",
        "SEGRELAY_ORTHANC_PROXY_USER": "through",
        "SEGRELAY_ORTHANC_PROXY_PASSWORD_FILE": str(proxy),
    }
    renew = secret_renewal(load_config(environment=environment), environment)
    password.write_text("two")
    proxy.write_text("dos")
    settings = renew()
    assert settings.password.get_secret_value() == "two"
    assert settings.proxy_password.get_secret_value() == "dos"


class Ring(KeyringBackend):
    """Holds what a test puts in."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password


@pytest.mark.process
def test_the_keyring_is_asked_again() -> None:
    ring = Ring()
    with keyring_replaced(ring):
        ring.set_password("segrelay-orthanc-token", "lab-1", "one")
        renew = secret_renewal(load_config(environment=MINIMUM), MINIMUM)
        ring.set_password("segrelay-orthanc-token", "lab-1", "two")
        assert renew().token.get_secret_value() == "two"


def test_a_file_that_is_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    environment = {**MINIMUM, "SEGRELAY_ORTHANC_TOKEN_FILE": str(file)}
    renew = secret_renewal(load_config(environment=environment), environment)
    file.unlink()
    with pytest.raises(FixConfigurationError) as caught:
        renew()
    assert caught.value.code == "secret-file-unreadable"
    assert "SEGRELAY_ORTHANC_TOKEN_FILE" in caught.value.message


def with_command(tmp_path: Path, command: object) -> AgentConfig:
    file = tmp_path / "agent.toml"
    file.write_text(f"[orthanc]\ntoken_command = {command!r}\n".replace("'", '"'))
    return load_config(file, MINIMUM)


@pytest.mark.process
def test_a_command_prints_the_token_and_is_not_run_for_every_refusal(tmp_path: Path) -> None:
    token, clock = tmp_path / "token", [0.0]
    token.write_text("one\n")
    code = "import sys; print(open(sys.argv[1]).read())"
    config = with_command(tmp_path, [sys.executable, "-c", code, str(token)])
    assert config.orthanc.token.get_secret_value() == "one"
    renew = secret_renewal(config, MINIMUM, monotonic=lambda: clock[0])
    token.write_text("two\n")
    assert renew().token.get_secret_value() == "two"
    token.write_text("three\n")
    clock[0] += COMMAND_PAUSE_S - 1
    assert renew().token.get_secret_value() == "two"
    clock[0] += 1
    assert renew().token.get_secret_value() == "three"


@pytest.mark.parametrize("command", ["gcloud auth", ["gcloud", 7], {"a": 1}])
def test_a_command_is_a_list_of_words(tmp_path: Path, command: object) -> None:
    text = "{a = 1}" if isinstance(command, dict) else repr(command).replace("'", '"')
    file = tmp_path / "agent.toml"
    file.write_text(f"[orthanc]\ntoken_command = {text}\n")
    with pytest.raises(FixConfigurationError, match="token_command"):
        load_config(file, MINIMUM)


@pytest.mark.process
def test_a_command_and_a_user_are_two_credentials(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    command = f'["{sys.executable}", "-c", "print(1)"]'
    file.write_text(f'[orthanc]\nuser = "lab"\ntoken_command = {command}\n')
    with pytest.raises(FixConfigurationError) as caught:
        load_config(file, {**MINIMUM, "SEGRELAY_ORTHANC_PASSWORD": "x"})
    assert caught.value.code == "orthanc-two-credentials"


@pytest.mark.process
def test_no_shell_sees_the_command(tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1])"
    told = token_from_command([sys.executable, "-c", code, f"$(touch {tmp_path}/x);`id`"])
    assert told.startswith("$(touch")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import sys; print('s3cret'); sys.exit(3)", "ended with 3"),
        ("pass", "printed nothing"),
        ("import time; print('s3cret', flush=True); time.sleep(60)", "took longer than"),
    ],
)
@pytest.mark.process
def test_a_command_that_fails_is_named_and_its_output_is_not(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    code: str,
    what: str,
) -> None:
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT_S", 1.0)
    with pytest.raises(FixConfigurationError) as caught:
        token_from_command([sys.executable, "-c", code])
    assert caught.value.code == "orthanc-token-command"
    assert what in caught.value.message
    shown = caught.value.message + caught.value.remedy + caplog.text + "".join(capfd.readouterr())
    assert "s3cret" not in shown


@pytest.mark.process
def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(FixConfigurationError, match=r"cannot be run \(FileNotFoundError\)"):
        token_from_command(["/nonexistent/program"])


@pytest.mark.process
def test_the_error_output_of_a_command_is_nobodys(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    assert token_from_command(printing(file)) == "one"
    assert "".join(capfd.readouterr()) == ""


def test_the_worker_is_not_told_where_secrets_lie() -> None:
    assert "SEGRELAY_ORTHANC_TOKEN_FILE" in SECRET_VARIABLES
