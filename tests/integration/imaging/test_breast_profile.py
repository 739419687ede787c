"""The shipped ``breast-dce-swinunetr`` takes a checkpoint as the lab's training leaves it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from lab_side.models.loaded import load_model
from lab_side.models.networks import build_network
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.profiles import load_profile
from tests.support.networks.lora import adapt
from tests.support.repetition import at_length

FOLDER = PACKAGED_PROFILES / "breast-dce-swinunetr"


@pytest.mark.parametrize("wrapper", ["model_state_dict", *at_length("ema_state_dict")])
def test_a_full_size_peft_checkpoint_gives_the_unmerged_forward_pass(
    tmp_path: Path, wrapper: str
) -> None:
    profile = load_profile(FOLDER)
    lora = profile.weights.lora
    assert lora is not None
    torch.manual_seed(17)
    network = build_network(profile).eval()
    generator = torch.Generator().manual_seed(18)
    state = adapt(network, rank=lora.rank, alpha=lora.alpha, generator=generator)
    path = tmp_path / "best_model.pth"
    named = {f"base_model.model.{key}": value for key, value in state.items()}
    torch.save({wrapper: named, "epoch": 40, "best_dice": np.float64(0.7)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    model = load_model(FOLDER, weights=path, sha256=digest)

    values = torch.randn(1, len(profile.inputs), 64, 32, 32, generator=generator)
    with torch.inference_mode():
        difference = (model.network(values) - network(values)).abs().max()
    assert difference <= 1e-4
    assert model.model_sha256 == digest
