"""A GPU that fails is told from a profile that is wrong, and its silent errors are found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lab_side.models.failures import is_gpu_failure
from lab_side.models.loaded import load_model
from lab_side.models.networks import build_network
from segrelay.errors import FixConfigurationError, InferenceError
from segrelay.profiles import load_profile
from tests.support.networks.tiny_profile import write_tiny_profile
from tests.support.paths import ROOT

SHIPPED = ROOT / "lab_side" / "profiles"


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: an illegal memory access was encountered",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
    ],
)
def test_torch_tells_of_a_gpu_in_words(text: str) -> None:
    assert is_gpu_failure(RuntimeError(text))
    assert not is_gpu_failure(ValueError("expected 4 channels, got 3"))


def test_a_gpu_that_fails_in_the_first_run_is_no_wrong_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: object, *_arguments: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    folder = write_tiny_profile(tmp_path)
    monkeypatch.setattr(torch.nn.Conv3d, "forward", fail)
    with pytest.raises(RuntimeError, match="CUDA error"):
        load_model(folder)


def test_values_that_are_not_finite_are_found_by_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = torch.nn.Conv3d.forward

    def damaged(self: torch.nn.Conv3d, values: torch.Tensor) -> torch.Tensor:
        return forward(self, values) * torch.inf

    folder = write_tiny_profile(tmp_path)
    monkeypatch.setattr(torch.nn.Conv3d, "forward", damaged)
    with pytest.raises(InferenceError) as caught:
        load_model(folder)
    assert caught.value.code == "output-not-finite"


@pytest.mark.parametrize("kind", ["conv.weight", "adn.A.weight", "running_mean", "running_var"])
@pytest.mark.parametrize("lost", [torch.inf, torch.nan])
def test_weights_that_are_not_finite_are_refused_though_every_output_is_a_number(
    tmp_path: Path, kind: str, lost: float
) -> None:
    profile = load_profile(SHIPPED / "glioma")
    state = {key: value.clone() for key, value in build_network(profile).state_dict().items()}
    name = next(key for key in state if key.endswith(kind))
    state[name].view(-1)[0] = lost
    damaged = tmp_path / "damaged.safetensors"
    save_file(state, damaged)
    with pytest.raises(FixConfigurationError) as caught:
        load_model(SHIPPED / "glioma", weights=damaged)
    assert caught.value.code == "weights-not-finite"
    assert name in caught.value.message
    assert "32-bit" in caught.value.remedy


@pytest.mark.parametrize("folder", sorted(SHIPPED.glob("*/weights.safetensors")))
def test_every_number_of_the_weights_that_come_with_the_product_is_finite(folder: Path) -> None:
    lost = [key for key, value in load_file(folder).items() if not bool(value.isfinite().all())]
    assert lost == []
