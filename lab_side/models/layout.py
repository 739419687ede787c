"""Features in the order in which a CPU computes SwinUNETR's convolutions fastest.

PyTorch keeps the voxels of a feature together unless set otherwise, and its convolutions then
reorder their input and output each time. With the features of a voxel together
(``channels_last_3d``) they need not: those of 24 and 48 features take half to three quarters of
the time. (SegResNet with its 16 takes twice as long so, and stays as it is.) PyTorch's instance
norm leaves that order, and its group and batch norms are wrong by 1e-3 there, for they add up
millions of voxels in one float: :class:`VoxelNorm` does neither. Same parameters, same logits up
to rounding.
"""

from __future__ import annotations

import math

import torch
from torch import nn

_ROW_VOXELS = 128
"""At most: sums over many rows of a few features are slow, over few long rows fast."""

_BLOCK_VALUES = 1 << 19
"""So that a block stays in the processor's cache between one operation and the next."""


class VoxelNorm(nn.Module):
    """Replacement for an ``InstanceNorm3d`` without running statistics, whose parameters it holds.

    Moments are taken about a near mean, block by block, and added up in double precision.
    """

    def __init__(self, original: nn.InstanceNorm3d) -> None:
        super().__init__()
        self.eps = original.eps
        self.weight: torch.Tensor | None
        self.bias: torch.Tensor | None
        self.register_parameter("weight", original.weight)
        self.register_parameter("bias", original.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, features, first, second, third axis], to the same in ``channels_last_3d``."""
        features = x.shape[1]
        voxels = x.permute(0, 2, 3, 4, 1).reshape(len(x), -1, features)
        result = voxels.new_empty(voxels.shape)
        side = math.gcd(voxels.shape[1], _ROW_VOXELS)
        for one, normed in zip(voxels, result, strict=True):
            rows = one.reshape(-1, side * features)
            scale, shift = self._scale_and_shift(*_moments(rows, side))
            torch.addcmul(
                shift.repeat(side), rows, scale.repeat(side), out=normed.view(-1, side * features)
            )
        return result.view(len(x), *x.shape[2:], features).permute(0, 4, 1, 2, 3)

    def _scale_and_shift(
        self, mean: torch.Tensor, variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[features] each."""
        scale = (variance + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        return scale.float(), shift.float()


def lay_out_for_cpu(network: nn.Module) -> None:
    """Lay out the network in place, for inference; the layout of its input does not matter."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            # An output is laid out as the weights are.
            weight = module.weight.data
            module.weight.data = weight.contiguous(memory_format=torch.channels_last_3d)
        for name, child in list(module.named_children()):
            if type(child) is nn.InstanceNorm3d and not child.track_running_stats:
                setattr(module, name, VoxelNorm(child).eval())


def _moments(rows: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance, [features] in double precision, of [rows, ``side`` times features]."""
    block_rows = max(1, _BLOCK_VALUES // rows.shape[1])
    near = rows[:block_rows].mean(0).view(side, -1).mean(0)
    first, second = torch.zeros(2, rows.shape[1], dtype=torch.float64)
    for block in torch.split(rows, block_rows):
        away = block - near.repeat(side)
        first += away.sum(0)
        second += away.square_().sum(0)
    count = len(rows) * side
    mean, square = (total.view(side, -1).sum(0) / count for total in (first, second))
    return mean + near, square - mean.square()
