"""The fused attention gives MONAI's logits."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from monai.networks.nets.swin_unetr import WindowAttention

from lab_side.models import fused
from lab_side.models.fused import FusedWindowAttention, fuse_attention
from lab_side.models.networks import construct
from segrelay.profiles import Network
from tests.support.repetition import at_length

NETWORK = Network(
    architecture="SwinUNETR",
    arguments={"in_channels": 2, "out_channels": 1, "feature_size": 12, "depths": [2, 2, 2, 2]},
)


@pytest.mark.parametrize("shape", [(32, 32, 64), *at_length((64, 32, 32))])
def test_the_logits_are_those_of_monai(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int]
) -> None:
    """With windows that are shifted, cut, and more than are taken at once."""
    monkeypatch.setattr(fused, "WINDOWS_AT_ONCE", 7)
    torch.manual_seed(41)
    reference = construct(NETWORK)
    with torch.no_grad():
        for name, value in reference.named_parameters():
            if name.endswith("relative_position_bias_table"):
                value.normal_()
    network = deepcopy(reference)
    fuse_attention(network)
    kinds = [type(module) for module in network.modules()]
    assert kinds.count(FusedWindowAttention) == 8
    assert WindowAttention not in kinds
    assert network.state_dict().keys() == reference.state_dict().keys()
    values = torch.randn(2, 2, *shape)
    with torch.inference_mode():
        assert (network(values) - reference(values)).abs().max() <= 1e-5
