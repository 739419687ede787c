"""The layout for CPUs gives the same logits; its norm is as exact as PyTorch's own."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from monai.networks.nets.swin_unetr import SwinUNETR
from torch import nn

from lab_side.models import layout
from lab_side.models.fused import fuse_attention
from lab_side.models.layout import VoxelNorm, lay_out_for_cpu


def test_the_logits_are_the_same() -> None:
    torch.manual_seed(42)
    reference = SwinUNETR(
        in_channels=2, out_channels=3, feature_size=12, depths=(1, 1, 1, 1)
    ).eval()
    network = deepcopy(reference)
    fuse_attention(network)
    lay_out_for_cpu(network)
    assert network.state_dict().keys() == reference.state_dict().keys()
    kinds = [type(module) for module in network.modules()]
    assert VoxelNorm in kinds
    assert nn.InstanceNorm3d not in kinds
    values = torch.randn(2, 2, 64, 32, 32)
    with torch.inference_mode():
        assert (network(values) - reference(values)).abs().max() <= 1e-5


@pytest.mark.parametrize("is_affine", [False, True])
@pytest.mark.parametrize("shape", [(2, 6, 16, 24, 8), (1, 6, 5, 3, 7)])
@pytest.mark.parametrize("memory_format", [torch.channels_last_3d, torch.contiguous_format])
def test_the_norm_is_exact_in_several_blocks(
    monkeypatch: pytest.MonkeyPatch,
    is_affine: bool,
    shape: tuple[int, ...],
    memory_format: torch.memory_format,
) -> None:
    """Features of different means, far from 0 beside their spread."""
    monkeypatch.setattr(layout, "_BLOCK_VALUES", 2000)
    torch.manual_seed(43)
    original = nn.InstanceNorm3d(6, affine=is_affine)
    for value in original.parameters():
        nn.init.normal_(value)
    values = torch.randn(shape) + torch.arange(6.0).view(6, 1, 1, 1) + 20
    norm = VoxelNorm(original)
    with torch.inference_mode():
        found = norm(values.contiguous(memory_format=memory_format))
        exact = deepcopy(original).double()(values.double())
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    assert (found - exact).abs().max() <= 1e-5


def test_kept_statistics_stay_in_use() -> None:
    network = nn.Sequential(nn.InstanceNorm3d(2, track_running_stats=True))
    lay_out_for_cpu(network)
    assert type(network[0]) is nn.InstanceNorm3d
