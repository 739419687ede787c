"""Batch statistics that a network learns with as it is used: fixed, from many batches.

With the statistics of two crops at a time a network adapts to each examination, which it cannot do
once it is in use: tumours are then outlined too small.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from infra.training.precision import short_floats


def set_momentum(network: nn.Module, momentum: float) -> None:
    """Share by which each batch moves the running statistics."""
    for module in _normalisations(network):
        module.momentum = momentum


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics by their mean over batches of network input."""
    for module in _normalisations(network):
        module.reset_running_stats()
        module.momentum = None  # a plain mean
    network.train()
    with torch.no_grad(), short_floats():
        for channels in batches:
            network(channels)


def fix_statistics(network: nn.Module) -> None:
    """Use the running statistics from here on, and let no batch move them."""
    for module in _normalisations(network):
        module.eval()


def _normalisations(network: nn.Module) -> list[nn.BatchNorm3d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
