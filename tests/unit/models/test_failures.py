"""A GPU that fails is told from a profile that is wrong, and its silent errors are found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lab_side.models.failures import is_gpu_failure
from lab_side.models.loaded import load_model
from segrelay.errors import InferenceError
from tests.support.networks.tiny_profile import write_tiny_profile


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


def test_values_that_are_not_finite_are_found_by_the_first_run(tmp_path: Path) -> None:
    folder = write_tiny_profile(tmp_path)
    path = folder / "weights.safetensors"
    state = load_file(path)
    damaged = tmp_path / "damaged.safetensors"
    # Counters of batches are whole numbers.
    floats = {key: item for key, item in state.items() if item.is_floating_point()}
    infinite = {key: torch.full_like(item, torch.inf) for key, item in floats.items()}
    save_file(state | infinite, damaged)
    with pytest.raises(InferenceError) as caught:
        load_model(folder, weights=damaged)
    assert caught.value.code == "output-not-finite"
