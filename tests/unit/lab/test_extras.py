"""A profile whose extra is not installed is named by every command before there is any job."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lab_side.agent.build import build_agent
from lab_side.computer.extras import check_extras
from lab_side.doctor import Verdict
from lab_side.doctor.computer import check_model
from lab_side.profile_registry import installed_profiles, valid_profiles
from lab_side.settings.config import ModelConfig, ModelsConfig
from lab_side.settings.loading import load_config
from segrelay.bucket.local import LocalBucket
from segrelay.errors import FixConfigurationError
from segrelay.profiles import load_profile
from tests.support.command_line import Cli
from tests.support.networks.tiny_profile import write_tiny_profile

STRIPPING = "stripping"
REMEDY = "pip install '.[lab,brain]'"


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a profile that strips the skull and one that does not; deepbet is not installed."""
    monkeypatch.setitem(sys.modules, "deepbet", None)
    monkeypatch.setenv("SEGRELAY_PROFILES_DIR", str(tmp_path))
    monkeypatch.setenv("SEGRELAY_PROFILES", STRIPPING)
    monkeypatch.setenv("SEGRELAY_BUCKET", (tmp_path / "queue").as_uri())
    monkeypatch.setenv("SEGRELAY_ORTHANC_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SEGRELAY_WORK_DIR", str(tmp_path / "work"))
    for name in (STRIPPING, "plain"):
        folder = write_tiny_profile(tmp_path, name)
    path = tmp_path / STRIPPING / "profile.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["preprocessing"] |= {
        "skull_strip": {"role": load_profile(folder).roles[0]},
        "normalisation": "zscore-nonzero",
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_only_a_profile_that_strips_the_skull_needs_the_extra(
    profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_extras(load_profile(profiles / "plain"))
    with pytest.raises(FixConfigurationError) as said:
        check_extras(load_profile(profiles / STRIPPING))
    assert said.value.code == "skull-strip-missing"
    assert REMEDY in said.value.remedy
    monkeypatch.delitem(sys.modules, "deepbet")
    check_extras(load_profile(profiles / STRIPPING))


def test_the_profile_is_listed_with_what_it_lacks_and_can_still_be_taken_as_an_example(
    profiles: Path,
) -> None:
    config = ModelsConfig(models=(ModelConfig(profile=STRIPPING),), profiles_dir=profiles)
    shelf = installed_profiles(config)
    assert shelf["plain"].problem is None
    assert shelf[STRIPPING].problem is not None
    assert set(valid_profiles(config)) >= {STRIPPING, "plain"}


def test_the_agent_does_not_start_and_the_doctor_says_why(profiles: Path) -> None:
    config = load_config(None)
    with pytest.raises(FixConfigurationError) as said:
        build_agent(config, LocalBucket(profiles / "queue"))
    assert REMEDY in said.value.remedy
    finding = check_model(config, config.models[0])
    assert finding.verdict is Verdict.FAILED
    assert REMEDY in finding.remedy


@pytest.mark.parametrize(
    "command",
    [
        ("profile", "check"),
        ("doctor",),
        ("segment", "--series-ids", "ce5067e4-44444444-44444444-44444444-44444444"),
    ],
)
def test_every_command_says_which_extra_before_it_loads_anything(
    profiles: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    monkeypatch.setattr("lab_side.worker.client.WorkerProcess.load", never)
    cli = Cli(capsys)
    said = cli(*command, code=78) + cli.said.err
    lines = [line for line in said.splitlines() if REMEDY in line]
    # The doctor's verdict says once more what to do next.
    assert len(lines) == (2 if command == ("doctor",) else 1), said
    assert "Traceback" not in said


def test_setup_says_so_before_it_asks_for_the_password(
    profiles: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli = Cli(capsys)
    cli(
        *("--config", str(tmp_path / "agent.toml"), "setup", "--bucket", "gs://bucket/q"),
        *("--orthanc-url", "https://orthanc.example.org", "--orthanc-user", "lab"),
        *("--profile", STRIPPING, "--profiles-dir", str(profiles), "--password-stdin"),
        *("--weights", str(profiles / STRIPPING / "profile.json")),
        code=78,
    )
    assert REMEDY in cli.said.err
    assert not (tmp_path / "agent.toml").exists()


def never(*arguments: object) -> None:
    raise AssertionError("a network would have been loaded")
