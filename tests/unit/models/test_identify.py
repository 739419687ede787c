"""What network a checkpoint is of, told from its names and shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lab_side.models.identify import identify
from lab_side.models.networks import construct
from segrelay.errors import FixConfigurationError
from segrelay.profiles import Architecture, Network
from tests.support.networks.importing import save_weights

SWIN: dict[str, Any] = {"in_channels": 2, "out_channels": 1, "feature_size": 12}
SEGRESNET: dict[str, Any] = {"in_channels": 4, "out_channels": 3, "init_filters": 8}


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        pytest.param("SwinUNETR", SWIN, marks=pytest.mark.long),
        ("SwinUNETR", {**SWIN, "depths": [2, 4, 2, 2], "num_heads": [2, 4, 4, 8]}),
        pytest.param("SwinUNETR", {**SWIN, "window_size": 5}, marks=pytest.mark.long),
        ("SwinUNETR", {**SWIN, "use_v2": True, "norm_name": "batch"}),
        ("SegResNet", SEGRESNET),
        ("SegResNet", {**SEGRESNET, "blocks_down": [1, 2], "blocks_up": [2]}),
        (
            "SegResNet",
            {**SEGRESNET, "blocks_down": [2, 1], "blocks_up": [1], "upsample_mode": "deconv"},
        ),
        ("SegResNet", {**SEGRESNET, "norm": "BATCH"}),
    ],
)
def test_a_network_is_rebuilt_from_its_weights(
    tmp_path: Path, architecture: Architecture, arguments: dict[str, Any]
) -> None:
    network = Network(architecture=architecture, arguments=arguments)
    original = construct(network)
    path = tmp_path / "a.pth"
    torch.save({"model": {f"module.{k}": v for k, v in original.state_dict().items()}}, path)
    found = identify(path, [])
    assert found.network is not None
    rebuilt = construct(found.network)
    rebuilt.load_state_dict(original.state_dict())
    shape = {"SwinUNETR": (64, 32, 32), "SegResNet": (16, 16, 16)}[architecture]
    values = torch.randn(1, arguments["in_channels"], *shape)
    with torch.inference_mode():
        assert torch.equal(rebuilt(values), original(values))
    assert found.format == "checkpoint"
    assert found.parameters == sum(v.numel() for v in original.state_dict().values())


def test_a_known_network_goes_before_a_guess(tmp_path: Path) -> None:
    network = Network(architecture="SegResNet", arguments={**SEGRESNET, "dropout_prob": 0.2})
    path = save_weights(network, tmp_path / "a.pth")
    assert identify(path, [network]).network == network


@pytest.mark.parametrize("architecture", ["UNet", "DynUNet"])
def test_strides_are_not_guessed(tmp_path: Path, architecture: Architecture) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "UNet": {"channels": [4, 8], "strides": [2], "num_res_units": 1},
        "DynUNet": {
            "kernel_size": [3, 3, 3],
            "strides": [1, 2, 2],
            "upsample_kernel_size": [2, 2],
            "filters": [4, 8, 8],
        },
    }
    common = {"spatial_dims": 3, "in_channels": 1, "out_channels": 1}
    network = Network(architecture=architecture, arguments={**common, **arguments[architecture]})
    path = save_weights(network, tmp_path / "a.pth")
    with pytest.raises(FixConfigurationError, match=f"looks like a {architecture}") as caught:
        identify(path, [])
    assert caught.value.code == "network-unknown"
    assert identify(path, [network]).network == network


def test_an_unknown_network_is_named_by_its_first_parts(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({f"block\x1b[2J{'x' * 99}.{i}": torch.zeros(1) for i in range(9)}, path)
    with pytest.raises(FixConfigurationError, match="no network that is known") as caught:
        identify(path, [])
    assert caught.value.code == "network-unknown"
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 500


def test_a_segresnet_with_a_foreign_part_is_not_guessed(tmp_path: Path) -> None:
    network = Network(architecture="SegResNet", arguments=SEGRESNET)
    path = tmp_path / "a.pth"
    torch.save({**construct(network).state_dict(), "head.weight": torch.zeros(1)}, path)
    with pytest.raises(FixConfigurationError, match="SegResNet") as caught:
        identify(path, [])
    assert caught.value.code == "network-unknown"


@pytest.mark.parametrize(
    ("settings", "alpha"),
    [
        ({"lora_alpha": 16}, 16.0),
        ({"args": {"peft": {"lora_alpha": 8.0}}}, 8.0),
        ({"a": {"lora_alpha": 8}, "b": {"lora_alpha": 16}}, None),
        ({"lora_alpha": "16"}, None),
        ({"lora_alpha": -1}, None),
        ({}, None),
    ],
)
def test_the_adapters_weight_is_looked_for(
    tmp_path: Path, settings: dict[str, Any], alpha: float | None
) -> None:
    network = Network(architecture="SegResNet", arguments=SEGRESNET)
    path = tmp_path / "a.pth"
    torch.save({"state_dict": construct(network).state_dict(), **settings}, path)
    assert identify(path, []).lora_alpha == alpha
