"""``lab-agent profile`` as a person uses it, with the real worker process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.command_line import Cli
from tests.support.networks.bomb import Bomb
from tests.support.networks.importing import SEGRESNET, inference_json, save_weights, write_bundle


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "profiles"
    monkeypatch.setenv("SEGRELAY_PROFILES_DIR", str(folder))
    monkeypatch.setenv("SEGRELAY_DEVICE", "cpu")
    return folder


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_a_bundle_is_imported_listed_shown_and_checked(
    cli: Cli, profiles: Path, tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "brats")
    told = cli("profile", "import", str(bundle), "--name", "brats-small", "--licence", "MIT")
    assert "a MONAI bundle; its weights are models/model.pt: checkpoint" in told
    assert "Network: SegResNet, 4 channels in, 3 out" in told
    assert "spacing_mm [2.0, 2.0, 2.0], normalisation zscore-nonzero, from the bundle" in told
    assert "Proof: loaded on cpu and run once" in told
    assert 'profile = "brats-small"' in told
    listed = {item["name"]: item for item in cli.json("profile", "list")}
    assert set(listed) >= {"brats-small", "brats-segresnet", "breast-dce-swinunetr", "demo"}
    assert listed["brats-small"]["shipped"] is False
    assert listed["brats-small"]["weights"] == "its own"
    assert listed["demo"]["served"] is True
    assert "this lab" in cli("profile", "list")
    assert cli.json("profile", "show", "brats-small")["profile"]["licence"] == "MIT"
    assert "network.arguments.init_filters" in cli("profile", "show", "brats-small")
    checked = cli.json("profile", "check", "brats-small", "brats-segresnet", code=78)
    assert checked["brats-small"]["ok"] is True
    assert checked["brats-segresnet"]["code"] == "weights-missing"


def test_code_is_refused_with_a_remedy_and_nothing_is_written(
    cli: Cli, profiles: Path, tmp_path: Path
) -> None:
    path, sentinel = tmp_path / "best_model.pth", tmp_path / "executed"
    torch.save({"model_state_dict": {}, "extra": Bomb(sentinel)}, path)
    cli("profile", "import", str(path), "--name", "mine", code=78)
    assert "[weights-unsafe]" in cli.said.err
    assert "convert it once" in cli.said.err
    assert not sentinel.exists()
    assert list(profiles.iterdir()) == []


def test_refusals_before_any_worker(
    cli: Cli, profiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = save_weights(SEGRESNET, tmp_path / "a.pth")
    config = inference_json()
    config["network_def"]["init_filters"] = "$8"
    write_bundle(tmp_path / "bundle", config)
    for path, code in ((tmp_path / "gone", "source-missing"), (tmp_path / "bundle", "bundle-step")):
        cli("profile", "import", str(path), "--name", "mine", code=78)
        assert f"[{code}]" in cli.said.err
    (tmp_path / "net.json").write_text('{"architecture": "os.system", "arguments": {}}')
    wrong = ("--network", str(tmp_path / "net.json"))
    cli("profile", "import", str(weights), "--name", "mine", *wrong, code=78)
    assert "[network-file]" in cli.said.err
    cli("profile", "show", "nobody", code=78)
    assert "[profile-missing]" in cli.said.err
    monkeypatch.delenv("SEGRELAY_PROFILES_DIR")
    cli("profile", "import", str(weights), "--name", "mine", code=78)
    assert "[profiles-dir]" in cli.said.err


def test_a_profile_that_is_not_valid_is_listed_with_its_fault(cli: Cli, profiles: Path) -> None:
    (profiles / "broken").mkdir(parents=True)
    (profiles / "broken/profile.json").write_text('{"name": "broken"}')
    (profiles / ".mine-01").mkdir()
    (profiles / ".mine-01/profile.json").write_text("{}")
    told = cli("profile", "list")
    assert "not valid" in told
    assert "broken: The profile 'broken' is not valid" in told
    assert ".mine" not in told
    cli("profile", "show", "broken", code=78)
    assert "[profile-invalid]" in cli.said.err


def test_a_profile_of_the_lab_goes_before_a_shipped_one(cli: Cli, profiles: Path) -> None:
    (profiles / "demo").mkdir(parents=True)
    (profiles / "demo/profile.json").write_text("{}")
    listed = {item["name"]: item for item in cli.json("profile", "list")}
    assert listed["demo"]["problem"]
