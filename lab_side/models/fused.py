"""Window attention in one fused kernel, for MONAI's SwinUNETR.

MONAI's own forward pass writes the attention of every window to memory several times over: on
a CPU half of the network's time. ``scaled_dot_product_attention`` does not; relative position
bias and shift mask go into it as one additive mask, for some windows at a time, so that the
mask stays small. Same parameters, same logits up to rounding.
"""

from __future__ import annotations

import torch
from monai.networks.nets.swin_unetr import WindowAttention
from torch import nn
from torch.nn import functional

WINDOWS_AT_ONCE = 64
"""On 343 voxels a window, 3 to 24 heads: some hundred megabytes at most."""


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
        parts = []
        for start in range(0, len(x), WINDOWS_AT_ONCE):
            part = x[start : start + WINDOWS_AT_ONCE]
            added = bias
            if mask is not None:
                which = torch.arange(start, start + len(part), device=x.device) % len(mask)
                added = bias + mask[which].unsqueeze(1)
            parts.append(self._attend(part, added))
        return torch.cat(parts)

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


def fuse_attention(network: nn.Module) -> None:
    """Put the fused attention in place of MONAI's, for inference; other networks stay."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is WindowAttention:
                setattr(module, name, FusedWindowAttention(child).eval())
