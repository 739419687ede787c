"""Wrong settings: one clear line, the right exit code, no traceback."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from infra.servers.orthanc import OrthancServer
from infra.servers.ports import free_port
from tests.support.lab.lab import Lab, open_lab

CONFIG = 78
NOT_NOW = 75
USAGE = 2


def assert_refused(
    ended: subprocess.CompletedProcess[str], code: int, reason: str, *secrets: str
) -> None:
    output = ended.stdout + ended.stderr
    assert ended.returncode == code, output
    assert f"[{reason}]" in ended.stderr
    assert "remedy: " in ended.stderr
    assert "Traceback" not in output
    assert not any(secret in output for secret in secrets)


@pytest.fixture(scope="module")
def lab(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all: nothing of it is changed for good."""
    with open_lab(orthanc, tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.mark.parametrize("command", [("run",), ("once",)])
def test_wrong_password(lab: Lab, command: tuple[str, ...]) -> None:
    ended = lab.run_agent(*command, SEGRELAY_ORTHANC_PASSWORD="wrong-4711")
    assert_refused(ended, CONFIG, "orthanc-credentials", "wrong-4711")


def test_an_orthanc_that_does_not_answer(lab: Lab) -> None:
    """What is to end by itself says that it is not now; the address may be wrong."""
    url = f"http://127.0.0.1:{free_port()}"
    for command in (("once",), ("segment", "--series-ids", *lab.study.series_ids)):
        ended = lab.run_agent(*command, SEGRELAY_ORTHANC_URL=url)
        assert_refused(ended, NOT_NOW, "orthanc-unavailable")
        assert url in ended.stderr
        assert "Check the address" in ended.stderr


def test_plain_http_to_another_machine(lab: Lab) -> None:
    ended = lab.run_agent("run", SEGRELAY_ORTHANC_URL="http://orthanc.example.org")
    assert_refused(ended, CONFIG, "orthanc-plain-http")


def test_no_password(lab: Lab) -> None:
    ended = lab.run_agent("run", SEGRELAY_ORTHANC_PASSWORD="")
    assert_refused(ended, CONFIG, "orthanc-password-missing")


def test_unknown_profile(lab: Lab) -> None:
    assert_refused(lab.run_agent("run", SEGRELAY_PROFILES="nobody"), CONFIG, "profile-missing")


def test_by_hand_with_the_wrong_series(lab: Lab) -> None:
    ids = lab.study.series_ids
    for series, reason in (
        (ids[:3], "series-count"),
        ((*ids[:3], ids[0]), "orthanc-id"),
        ((*ids[:3], "../../system"), "orthanc-id"),
    ):
        assert_refused(lab.run_agent("segment", "--series-ids", *series), USAGE, reason)


class Bomb:
    """What a hostile checkpoint does."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


def test_a_checkpoint_with_code_is_refused_and_does_not_run(lab: Lab, tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    weights = tmp_path / "best_model.pth"
    torch.save({"model_state_dict": Bomb(sentinel)}, weights, pickle_module=pickle)
    assert_refused(run_with_weights(lab, weights), CONFIG, "weights-unsafe")
    assert not sentinel.exists()


@pytest.mark.long
def test_a_checkpoint_of_another_network_is_refused(lab: Lab, tmp_path: Path) -> None:
    weights = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(3, 3)}, weights)
    assert_refused(run_with_weights(lab, weights), CONFIG, "weights-do-not-fit")


def test_an_altered_checkpoint_is_refused(lab: Lab) -> None:
    weights = lab.folder / "profiles/tiny/weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"\0")
    assert_refused(lab.run_agent("run"), CONFIG, "weights-sha256")
    weights.write_bytes(whole)


def run_with_weights(lab: Lab, weights: Path) -> subprocess.CompletedProcess[str]:
    """``lab-agent run`` with a configuration file that names these weights."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    config = lab.folder / "agent.toml"
    config.write_text(
        f'[[models]]\nprofile = "tiny"\nweights = {json.dumps(str(weights))}\nsha256 = "{digest}"\n'
    )
    return lab.run_agent("--config", str(config), "run")


def test_two_agents_with_one_id(lab: Lab) -> None:
    first = lab.start_agent()
    lab.wait_for(lambda: lab.has_event("Listening for jobs"), "the first agent listens")
    assert_refused(lab.run_agent("run"), NOT_NOW, "agent-id-in-use")
    assert first.poll() is None
