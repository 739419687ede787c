"""Settings: where they come from, what overrules what, and what is refused."""

from __future__ import annotations

from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from common.errors import FixConfigurationError
from lab_side.config import VARIABLES, AgentConfig, load_config

MINIMUM = {
    "SEGRELAY_AGENT_ID": "lab-1",
    "SEGRELAY_WORK_DIR": "/var/lib/segrelay",
    "SEGRELAY_ORTHANC_URL": "https://orthanc.example.org/",
}


def test_the_environment_alone_is_enough() -> None:
    config = load_config(environment={**MINIMUM, "SEGRELAY_BUCKET": "file:///q"})
    assert config.orthanc.url == "https://orthanc.example.org"
    assert [model.profile for model in config.models] == ["demo"]


def test_the_environment_overrules_the_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(
        'bucket = "file:///a"\nagent_id = "lab-2"\nwork_dir = "/w"\n'
        '[orthanc]\nurl = "https://a.example.org"\n[[models]]\nprofile = "demo"\n'
    )
    environment = {"SEGRELAY_CONFIG": str(file), "SEGRELAY_BUCKET": "file:///b"}
    config = load_config(environment=environment)
    assert (config.bucket, config.agent_id) == ("file:///b", "lab-2")


def test_every_variable_leads_to_a_setting() -> None:
    for variable, (*sections, key) in VARIABLES.items():
        fields = AgentConfig.model_fields
        for section in sections:
            annotation = fields[section].annotation
            assert annotation is not None
            fields = annotation.model_fields
        assert key in fields, variable


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"SEGRELAY_WORK_DIR": ""}, "work_dir"),
        ({"SEGRELAY_WORK_DIR": "relative"}, "work_dir"),
        ({"SEGRELAY_AGENT_ID": "Lab_1"}, "agent_id"),
        ({"SEGRELAY_ORTHANC_URL": ""}, "orthanc.url"),
        ({"SEGRELAY_DEVICE": "gpu"}, "device"),
    ],
)
def test_what_is_missing_or_wrong_is_named(changes: dict[str, str], field: str) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        load_config(environment={**MINIMUM, **changes})
    assert field in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://orthanc", "orthanc-address"),
        ("https://lab:secret@orthanc", "orthanc-address"),
        ("http://orthanc.example.org", "orthanc-plain-http"),
    ],
)
def test_addresses_that_would_be_unsafe(url: str, code: str) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        load_config(environment={**MINIMUM, "SEGRELAY_ORTHANC_URL": url})
    assert caught.value.code == code
    assert "secret" not in str(caught.value)


def test_plain_http_to_this_machine_is_allowed() -> None:
    for url in ("http://127.0.0.1:8042", "http://localhost:8042", "http://[::1]:8042"):
        assert load_config(environment={**MINIMUM, "SEGRELAY_ORTHANC_URL": url}).orthanc.url == url


def test_a_password_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('[orthanc]\npassword = "hunter2"\n')
    with pytest.raises(FixConfigurationError) as caught:
        load_config(file, MINIMUM)
    assert caught.value.code == "secret-in-file"
    assert "hunter2" not in str(caught.value)


class MemoryKeyring(KeyringBackend):
    """A keyring for one test."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return "from-keyring" if (service, username) == ("segrelay-orthanc", "lab") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise AssertionError("nothing here may write a secret")


def test_where_the_password_comes_from(tmp_path: Path) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())  # type: ignore[no-untyped-call]
    try:
        user = {**MINIMUM, "SEGRELAY_ORTHANC_USER": "lab"}
        (tmp_path / "orthanc-password").write_text("from-systemd\n")
        credential = {**user, "CREDENTIALS_DIRECTORY": str(tmp_path)}
        variable = {**credential, "SEGRELAY_ORTHANC_PASSWORD": "from-variable"}
        for environment, expected in (
            (user, "from-keyring"),
            (credential, "from-systemd"),
            (variable, "from-variable"),
            (MINIMUM, ""),
        ):
            config = load_config(environment=environment)
            assert config.orthanc.password.get_secret_value() == expected
            assert expected == "" or expected not in repr(config)
    finally:
        keyring.set_keyring(before)
