"""Files as well-known training programs leave them, and what numpy may do inside them."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from lab_side.models.weights import read_checkpoint
from segrelay.errors import FixConfigurationError

WEIGHTS = {"encoder.weight": torch.arange(6.0).reshape(2, 3)}


def read(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path, sha256=None)[0]


def nnunet_checkpoint() -> dict[str, Any]:
    """What nnU-Net's trainer saves beside the weights."""
    return {
        "network_weights": WEIGHTS,
        "optimizer_state": {
            "state": {0: {"momentum_buffer": torch.ones(2, 3)}},
            "param_groups": [],
        },
        "grad_scaler_state": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 7},
        "logging": {
            "mean_fg_dice": [np.float64(0.71), np.float32(0.72)],
            "dice_per_class_or_region": [[np.float64(0.8), np.float64(0.6)]],
            "epoch_start_timestamps": [1.7e9],
        },
        "_best_ema": np.float64(0.715),
        "current_epoch": np.int64(250),
        "init_args": {
            "plans": {"configurations": {"3d_fullres": {"patch_size": [128, 128, 128]}}},
            "configuration": "3d_fullres",
            "fold": 0,
            "dataset_json": {"labels": {"background": 0, "tumour": 1}},
            "device": torch.device("cuda"),
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }


@pytest.mark.parametrize("old_format", [False, True])
def test_an_nnunet_file_is_read(tmp_path: Path, old_format: bool) -> None:
    path = tmp_path / "checkpoint_final.pth"
    torch.save(nnunet_checkpoint(), path, _use_new_zipfile_serialization=not old_format)
    assert torch.equal(read(path)["encoder.weight"], WEIGHTS["encoder.weight"])


def test_numbers_that_numpy_1_wrote_are_read(tmp_path: Path) -> None:
    path, old = tmp_path / "new.pth", tmp_path / "old.pth"
    torch.save(nnunet_checkpoint(), path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(old, "w") as changed:
        for member in archive.infolist():
            content = archive.read(member)
            if member.filename.endswith("data.pkl"):
                assert b"numpy._core.multiarray" in content
                content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            changed.writestr(member.filename, content)
    assert torch.equal(read(old)["encoder.weight"], WEIGHTS["encoder.weight"])


class Calls:
    """Is rebuilt by calling a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.parametrize(
    "extra",
    [
        np.zeros(3),
        Calls(np.load, "weights.npy"),
        Calls(np.fromfile, "weights.bin"),
        np.datetime64("2024-01-01"),
        np.random.default_rng(1),
        Path("weights"),
    ],
    ids=["array", "load", "fromfile", "datetime", "generator", "path"],
)
def test_nothing_of_numpy_but_its_numbers_is_rebuilt(tmp_path: Path, extra: object) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": WEIGHTS, "extra": extra}, path)
    with pytest.raises(FixConfigurationError) as caught:
        read(path)
    assert caught.value.code == "weights-unsafe"


def test_what_is_allowed_here_stays_forbidden_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": WEIGHTS, "best": np.float64(1)}, path)
    read(path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt", "model.bin"])
def test_safetensors_are_known_by_their_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(safetensors.torch.save(WEIGHTS))
    assert torch.equal(read(path)["encoder.weight"], WEIGHTS["encoder.weight"])


def test_half_precision_keeps_its_values(tmp_path: Path) -> None:
    content = io.BytesIO()
    torch.save({key: value.half() for key, value in WEIGHTS.items()}, content)
    path = tmp_path / "half.pth"
    path.write_bytes(content.getvalue())
    assert torch.equal(read(path)["encoder.weight"].float(), WEIGHTS["encoder.weight"])
