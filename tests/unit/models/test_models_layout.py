"""The layout for CPUs gives the same logits; its norm is as exact as PyTorch's own."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from common.profiles import Architecture, Network
from lab_side.models import layout
from lab_side.models.layout import VoxelNorm, lay_out_for_cpu
from lab_side.models.networks import construct

NETWORKS: dict[Architecture, dict[str, Any]] = {
    "SwinUNETR": {"feature_size": 12, "depths": [1, 1, 1, 1]},
    "SegResNet": {"init_filters": 8},
    "UNet": {"spatial_dims": 3, "channels": [8, 16, 32], "strides": [2, 2], "num_res_units": 1},
    "DynUNet": {
        "spatial_dims": 3,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
    },
}


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_logits_are_the_same(architecture: Architecture) -> None:
    torch.manual_seed(42)
    arguments = {"in_channels": 2, "out_channels": 3, **NETWORKS[architecture]}
    reference = construct(Network(architecture=architecture, arguments=arguments)).eval()
    network = deepcopy(reference)
    lay_out_for_cpu(network)
    assert network.state_dict().keys() == reference.state_dict().keys()
    assert any(isinstance(module, VoxelNorm) for module in network.modules())
    values = torch.randn(2, 2, 64, 32, 32)
    with torch.inference_mode():
        assert (network(values) - reference(values)).abs().max() <= 1e-4


@pytest.mark.parametrize(
    "original",
    [
        nn.InstanceNorm3d(6),
        nn.InstanceNorm3d(6, affine=True),
        nn.GroupNorm(3, 6),
        nn.GroupNorm(2, 6, affine=False),
    ],
)
@pytest.mark.parametrize("shape", [(2, 6, 16, 24, 8), (1, 6, 5, 3, 7)])
def test_the_norm_is_exact_in_several_blocks(
    monkeypatch: pytest.MonkeyPatch, original: nn.InstanceNorm3d | nn.GroupNorm, shape: torch.Size
) -> None:
    """Features of different means, far from 0 beside their spread."""
    monkeypatch.setattr(layout, "_BLOCK_VALUES", 2000)
    torch.manual_seed(43)
    for value in original.parameters():
        nn.init.normal_(value)
    values = torch.randn(shape) + torch.arange(6.0).view(6, 1, 1, 1) + 20
    values = values.contiguous(memory_format=torch.channels_last_3d)
    norm = VoxelNorm(original)
    with torch.inference_mode():
        found, exact = norm(values), original.double()(values.double())
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    assert (found - exact).abs().max() <= 1e-5


def test_kept_statistics_stay_in_use() -> None:
    network = nn.Sequential(nn.InstanceNorm3d(2, track_running_stats=True))
    lay_out_for_cpu(network)
    assert type(network[0]) is nn.InstanceNorm3d
