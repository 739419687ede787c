"""Settings: where they come from, what overrules what, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend

from lab_side.settings import secrets
from lab_side.settings.config import AgentConfig, ModelsConfig
from lab_side.settings.loading import load_config, load_orthanc_settings, load_part
from lab_side.settings.sources import VARIABLES, misspelt_variables
from segrelay.errors import FixConfigurationError
from tests.support.lab.keyrings import keyring_replaced

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


def test_the_engine_of_a_cpu_is_one_that_there_is(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('cpu_engine = "openvino"')
    assert load_part(ModelsConfig, path, {}).cpu_engine == "openvino"
    path.write_text('cpu_engine = "onnx"')
    with pytest.raises(FixConfigurationError, match="cpu_engine"):
        load_part(ModelsConfig, path, {})


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


@pytest.mark.parametrize("key", ["password", "token", "proxy_password"])
def test_a_secret_in_the_file_is_refused(tmp_path: Path, key: str) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(f'[orthanc]\n{key} = "hunter2"\n')
    with pytest.raises(FixConfigurationError) as caught:
        load_config(file, MINIMUM)
    assert caught.value.code == "secret-in-file"
    assert "hunter2" not in str(caught.value)


class MemoryKeyring(KeyringBackend):
    """A keyring for one test."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        known = {
            ("segrelay-orthanc", "lab"),
            ("segrelay-orthanc-token", "lab-token"),
            ("segrelay-orthanc-proxy", "through"),
        }
        return "from-keyring" if (service, username) in known else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise AssertionError("nothing here may write a secret")


@pytest.fixture
def memory_keyring() -> Iterator[None]:
    with keyring_replaced(MemoryKeyring()):  # type: ignore[no-untyped-call]
        yield


@pytest.mark.usefixtures("memory_keyring")
@pytest.mark.parametrize(
    ("named", "places", "field"),
    [
        ({"SEGRELAY_ORTHANC_USER": "lab"}, secrets.PASSWORD, "password"),
        ({"SEGRELAY_AGENT_ID": "lab-token"}, secrets.TOKEN, "token"),
        ({"SEGRELAY_ORTHANC_PROXY_USER": "through"}, secrets.PROXY_PASSWORD, "proxy_password"),
    ],
)
def test_where_a_secret_comes_from(
    tmp_path: Path, named: dict[str, str], places: secrets.SecretPlaces, field: str
) -> None:
    user = {**MINIMUM, **named}
    (tmp_path / places.credential).write_text("from-systemd\n")
    credential = {**user, "CREDENTIALS_DIRECTORY": str(tmp_path)}
    variable = {**credential, places.variable: "from-variable"}
    for environment, expected in (
        (user, "from-keyring"),
        (credential, "from-systemd"),
        (variable, "from-variable"),
        (MINIMUM, ""),
    ):
        config = load_config(environment=environment)
        assert getattr(config.orthanc, field).get_secret_value() == expected
        assert expected == "" or expected not in repr(config)


@pytest.mark.parametrize(
    ("variable", "code"),
    [
        ("SEGRELAY_ORTHANC_USER", "orthanc-password-missing"),
        ("SEGRELAY_ORTHANC_PROXY_USER", "orthanc-proxy-password-missing"),
    ],
)
def test_a_user_without_a_password_is_told_where_to_put_it(variable: str, code: str) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        load_config(environment={**MINIMUM, variable: "nobody-knows"})
    assert caught.value.code == code
    assert "keyring set segrelay-orthanc" in caught.value.remedy


def test_user_and_token_do_not_go_together() -> None:
    environment = {
        "SEGRELAY_ORTHANC_USER": "lab",
        "SEGRELAY_ORTHANC_PASSWORD": "hunter2",
        "SEGRELAY_ORTHANC_TOKEN": "hunter3",
    }
    with pytest.raises(FixConfigurationError) as caught:
        load_config(environment={**MINIMUM, **environment})
    assert caught.value.code == "orthanc-two-credentials"
    assert "hunter" not in str(caught.value)


def test_orthanc_alone(tmp_path: Path) -> None:
    """What the doctor needs of the settings."""
    assert load_orthanc_settings(environment={"SEGRELAY_BUCKET": "file:///q"}) is None
    file = tmp_path / "agent.toml"
    file.write_text('[orthanc]\nurl = "https://orthanc.example.org/"\nproxy = "http://p:3128"\n')
    settings = load_orthanc_settings(file, {"SEGRELAY_ORTHANC_TOKEN": "hunter2"})
    assert settings is not None
    assert (settings.url, settings.proxy) == ("https://orthanc.example.org", "http://p:3128")
    assert settings.token.get_secret_value() == "hunter2"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("SEGRELAY_DEVCE", "SEGRELAY_DEVICE"),
        ("SEGRELAY_BUKCET", "SEGRELAY_BUCKET"),
        ("SEGRELAY_PROFILE", "SEGRELAY_PROFILES"),
        ("SEGRELAY_ORTHANC_PASWORD", "SEGRELAY_ORTHANC_PASSWORD"),
        ("SEGRELAY_WORKDIR", "SEGRELAY_WORK_DIR"),
    ],
)
def test_a_slip_in_a_variable_is_found(
    given: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert misspelt_variables({given: "x", "PATH": "/bin"}) == {given: meant}
    monkeypatch.setenv("SEGRELAY_CONFIG", "")
    monkeypatch.setenv(given, "x")
    with pytest.raises(FixConfigurationError) as caught:
        load_config(None)
    assert f"did you mean {meant}?" in caught.value.message


def test_a_variable_of_the_site_is_no_slip() -> None:
    texts = [path.read_text() for path in Path("gcp_side/site").glob("*.py")]
    names = set(re.findall(r"SEGRELAY_[A-Z_]*[A-Z]\b", " ".join(texts)))
    assert len(names) > 20
    assert misspelt_variables(dict.fromkeys(names, "x")) == {}
