"""Batch statistics: taken from many batches, then fixed."""

from __future__ import annotations

import torch
from torch import nn

from infra.training.statistics import fix_statistics, recalibrate, set_momentum


def normalised() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2))


def statistics(network: nn.Sequential) -> torch.Tensor:
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm3d)
    assert norm.running_mean is not None
    return norm.running_mean.clone()


def test_the_mean_over_all_batches_replaces_the_statistics_and_no_weight_changes() -> None:
    network = normalised()
    set_momentum(network, 0.03)
    weights = [value.clone() for value in network.parameters()]
    batches = [torch.full((1, 1, 4, 4, 4), value) for value in (0.0, 1.0, 5.0)]
    recalibrate(network, batches)
    outputs = network[0](torch.full((1, 1, 1, 1, 1), 2.0)).flatten()
    # The convolution of the mean input is the mean of its outputs; bfloat16 has 8 bits.
    torch.testing.assert_close(statistics(network), outputs, rtol=0.02, atol=0.02)
    for before, after in zip(weights, network.parameters(), strict=True):
        assert torch.equal(before, after)


def test_no_batch_moves_fixed_statistics() -> None:
    network = normalised().train()
    fix_statistics(network)
    before = statistics(network)
    network(torch.full((1, 1, 4, 4, 4), 9.0))
    assert torch.equal(statistics(network), before)
