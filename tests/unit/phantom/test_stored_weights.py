"""What a training stores is what it has learnt, also as 16-bit floats."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from infra.training.weights import WEIGHTS_FILE, store

LARGE = 1.5e11
"""A variance in a deep layer; 16-bit floats end at 65504."""


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2)).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "profile.json").write_text('{"weights": {"file": "old", "sha256": "0"}}')
    return tmp_path


def test_a_number_that_16_bits_cannot_hold_stays_and_the_rest_is_halved(folder: Path) -> None:
    trained = network()
    variance = trained[1].running_var
    assert isinstance(variance, torch.Tensor)
    variance[1] = LARGE
    store(trained, folder, dtype=torch.float16)
    kept = load_file(folder / WEIGHTS_FILE)
    assert kept["1.running_var"].tolist() == variance.tolist()
    assert kept["0.weight"].dtype == torch.float16
    again = network()
    again.load_state_dict(kept)
    there = torch.ones(1, 1, 2, 2, 2)
    torch.testing.assert_close(again(there), trained(there), rtol=1e-3, atol=1e-3)


def test_the_profile_names_the_file_which_everybody_may_read(folder: Path) -> None:
    store(network(), folder)
    path = folder / WEIGHTS_FILE
    assert json.loads((folder / "profile.json").read_text())["weights"] == {
        "file": WEIGHTS_FILE,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "lora": None,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("lost", [float("inf"), float("nan")])
def test_a_training_that_went_astray_is_not_stored(folder: Path, lost: float) -> None:
    trained = network()
    with torch.no_grad():
        next(trained.parameters())[0] = lost
    with pytest.raises(ValueError, match=r"0\.weight"):
        store(trained, folder)
    assert not (folder / WEIGHTS_FILE).exists()
