"""Window attention in one fused kernel, for MONAI's SwinUNETR.

MONAI's own forward pass writes the attention of every window to memory several times over: on
a CPU half of the network's time. ``scaled_dot_product_attention`` does not; relative position
bias and shift mask go into it as one additive mask. Shifted windows have few different masks
(along each axis a window is split or not), so windows with the same one go together, and the
mask is never written out for each window. Same parameters, same logits up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from monai.networks.nets.swin_unetr import WindowAttention
from torch import nn
from torch.nn import functional

WINDOWS_AT_ONCE = 256
"""So that queries, keys and values stay small."""


class FusedWindowAttention(nn.Module):
    """Stands in for a ``WindowAttention``, whose parameters it holds."""

    def __init__(self, original: WindowAttention) -> None:
        super().__init__()
        self.num_heads = original.num_heads
        self.scale = original.scale
        self.qkv = original.qkv
        self.proj = original.proj
        self.relative_position_bias_table = original.relative_position_bias_table
        self.relative_position_index: torch.Tensor
        self.register_buffer(
            "relative_position_index", original.get_buffer("relative_position_index")
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """[windows, voxels, features]; ``mask`` [windows of one volume, voxels, voxels]."""
        bias = self._bias(x.shape[1])
        attended: torch.Tensor | None = None
        for windows, added in _groups(len(x), mask, x.device):
            for some in torch.split(windows, WINDOWS_AT_ONCE):
                part = self._attend(x[some], bias if added is None else bias + added)
                if attended is None:
                    attended = part.new_empty(x.shape)
                attended[some] = part
        if attended is None:
            raise ValueError("there is no window")
        return attended

    def _bias(self, voxels: int) -> torch.Tensor:
        """[1, heads, voxels, voxels]."""
        index = self.relative_position_index[:voxels, :voxels].reshape(-1)
        bias = self.relative_position_bias_table[index].reshape(voxels, voxels, -1)
        return bias.permute(2, 0, 1).unsqueeze(0)

    def _attend(self, x: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        windows, voxels, features = x.shape
        shape = (windows, voxels, 3, self.num_heads, features // self.num_heads)
        query, key, value = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=added.to(query.dtype), scale=self.scale
        )
        attended: torch.Tensor = self.proj(found.transpose(1, 2).reshape(windows, voxels, features))
        return attended


def _groups(
    count: int, mask: torch.Tensor | None, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Indices of the windows that share a mask, and that mask [voxels, voxels]."""
    every = torch.arange(count, device=device)
    if mask is None:
        yield every, None
        return
    # Which voxels the first one may not attend to tells along which axes a window is split.
    _, kind = torch.unique(mask[:, 0], dim=0, return_inverse=True)
    kinds = kind[every % len(mask)]
    for number in range(int(kind.max()) + 1):
        first = int((kind == number).nonzero()[0])
        yield (kinds == number).nonzero()[:, 0], mask[first]


def fuse_attention(network: nn.Module) -> None:
    """Put the fused attention in place of MONAI's, for inference; other networks stay."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is WindowAttention:
                setattr(module, name, FusedWindowAttention(child).eval())
