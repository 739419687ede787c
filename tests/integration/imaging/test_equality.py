"""The product computes what the training's own program computes, on the same input."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle.config_parser import ConfigParser
from torch import nn

from lab_side.importing.draft import Wishes
from lab_side.importing.run import import_profile
from lab_side.models.inference import infer
from lab_side.models.loaded import LoadedModel, load_model
from lab_side.models.networks import construct
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay.profiles import Inference, Network, Profile, load_profile
from tests.support.networks.importing import SEGRESNET, NearWorker, inference_json, write_bundle
from tests.support.networks.torchscript import save_traced

LARGEST_DIFFERENCE = 1e-4
WINDOW = (64, 32, 32)


def imported(path: Path, into: Path, **wishes: Any) -> LoadedModel:
    """The model as the worker loads it, after an import."""
    known = {
        folder.name: in_small_windows(load_profile(folder))
        for folder in PACKAGED_PROFILES.iterdir()
        if folder.is_dir()
    }
    made = import_profile(
        path,
        Wishes(name="mine", **wishes),
        into=into,
        known=known,
        worker=NearWorker(),
        device="cpu",
    )
    return load_model(made.folder)


def in_small_windows(profile: Profile) -> Profile:
    inference = profile.inference.model_copy(update={"window": WINDOW})
    return profile.model_copy(update={"inference": inference})


def assert_equal(model: LoadedModel, reference: nn.Module, channels: int) -> None:
    """Same logits on the same tensor; and the product's inference gives their sigmoid."""
    values = torch.randn(1, channels, *WINDOW, generator=torch.Generator().manual_seed(21))
    with torch.inference_mode():
        logits, expected = model.network(values), reference(values)
    assert expected.std() > 0.01
    assert (logits - expected).abs().max() <= LARGEST_DIFFERENCE
    settings = Inference(window=WINDOW, overlap=0.25)
    soft = infer(model.network, values[0].numpy(), settings, torch.device("cpu"))
    assert np.abs(soft - torch.sigmoid(expected)[0].numpy()).max() <= LARGEST_DIFFERENCE


@pytest.mark.parametrize(
    ("wrapper", "trained_whole"),
    [
        ("model_state_dict", ["out.conv.conv"]),
        pytest.param(None, ["out.conv.conv"], marks=pytest.mark.long),
        pytest.param("model_state_dict", None, marks=pytest.mark.long),
        pytest.param(None, None, marks=pytest.mark.long),
    ],
)
def test_a_peft_checkpoint_of_a_swin_unetr(
    tmp_path: Path, wrapper: str | None, trained_whole: list[str] | None
) -> None:
    peft = pytest.importorskip("peft", reason="the peft library is not installed")
    network = Network(
        architecture="SwinUNETR",
        arguments={"in_channels": 4, "out_channels": 1, "feature_size": 12},
    )
    torch.manual_seed(31)
    config = peft.LoraConfig(
        r=8, lora_alpha=16, target_modules=["qkv"], modules_to_save=trained_whole
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = peft.get_peft_model(construct(network), config).eval()
    with torch.no_grad():
        for name, value in reference.named_parameters():
            # As after a training: fresh adapters are 0, and fresh copies equal their original.
            if "lora_" in name or "modules_to_save" in name:
                value.add_(0.1 * torch.randn_like(value))
    state = reference.state_dict()
    assert any(name.endswith("attn.qkv.lora_B.default.weight") for name in state)
    path = tmp_path / "best_model.pth"
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 12}, path)
    model = imported(path, tmp_path / "profiles", lora_alpha=16.0)
    assert not any("lora" in name for name, _ in model.network.named_parameters())
    assert_equal(model, reference, 4)


def test_a_monai_bundle_of_a_segresnet(tmp_path: Path) -> None:
    config = inference_json()
    bundle = write_bundle(tmp_path / "bundle", config)
    # MONAI's own way to the network: it evaluates the configuration.
    reference = ConfigParser(config).get_parsed_content("network_def").eval()
    reference.load_state_dict(torch.load(bundle / "models/model.pt", weights_only=True))
    assert_equal(imported(bundle, tmp_path / "profiles"), reference, 4)


def test_a_torchscript_export(tmp_path: Path) -> None:
    torch.manual_seed(32)
    reference = construct(SEGRESNET)
    path = save_traced(reference, tmp_path / "model.ts", torch.zeros(1, 4, 32, 32, 32))
    model = imported(path, tmp_path / "profiles", like="brats-segresnet")
    assert isinstance(model.network, torch.jit.ScriptModule)
    assert_equal(model, reference, 4)
