"""Window attention in one fused kernel, for MONAI's SwinUNETR.

MONAI's own forward pass writes the attention of every window to memory several times over: on
a CPU half of the network's time. ``scaled_dot_product_attention`` does not; relative position
bias and shift mask go into it as one additive mask. Shifted windows have few different masks
(along each axis a window is split or not), so windows with the same one go together, and a
mask is made for each kind of window, not for each window. Same parameters, same logits up to
rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from monai.networks.nets.swin_unetr import BasicLayer, WindowAttention
from torch import nn
from torch.nn import functional

WINDOWS_AT_ONCE = 256
"""So that queries, keys and values stay small."""

_APART = -100.0
"""Added where a voxel may not attend to another one, as in MONAI."""


@dataclass(frozen=True, eq=False)
class ShiftMask:
    """Attention mask of shifted windows, by kind of window."""

    kinds: torch.Tensor
    """[windows of one volume] indices into ``masks``, in the order of MONAI's partition."""
    masks: torch.Tensor
    """[kinds, voxels, voxels], 0 or ``_APART``."""


class FusedLayer(nn.Module):
    """Replacement for a ``BasicLayer`` of shifted windows in three dimensions."""

    def __init__(self, original: BasicLayer) -> None:
        super().__init__()
        self.window_size = original.window_size
        self.shift_size = original.shift_size
        self.blocks = original.blocks
        self.downsample = original.downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, features, first, second, third axis]."""
        mask = _shift_mask(x.shape[2:], self.window_size, self.shift_size, x.device)
        x = x.permute(0, 2, 3, 4, 1)
        for block in self.blocks:
            x = block(x, mask)
        if self.downsample is not None:
            x = self.downsample(x)
        return x.permute(0, 4, 1, 2, 3)


class FusedWindowAttention(nn.Module):
    """Replacement for a ``WindowAttention``, whose parameters it holds."""

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

    def forward(self, x: torch.Tensor, mask: ShiftMask | None) -> torch.Tensor:
        """[windows, voxels, features]."""
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


def _shift_mask(
    shape: Sequence[int], window: Sequence[int], shift: Sequence[int], device: torch.device
) -> ShiftMask:
    """Only the last window along an axis is split: the shift brings the first voxels behind it."""
    # Along an axis with one window alone, MONAI does not shift.
    shift = [by * (size > side) for size, side, by in zip(shape, window, shift, strict=True)]
    window = [min(size, side) for size, side in zip(shape, window, strict=True)]
    counts = [-(-size // side) for size, side in zip(shape, window, strict=True)]
    last = [
        (torch.arange(count, device=device) == count - 1) & (by > 0)
        for count, by in zip(counts, shift, strict=True)
    ]
    kinds = 4 * last[0][:, None, None] + 2 * last[1][:, None] + 1 * last[2]
    masks = []
    for split in product((False, True), repeat=3):
        sides = [
            (torch.arange(side, device=device) >= side - by) & is_split
            for side, by, is_split in zip(window, shift, split, strict=True)
        ]
        part = 4 * sides[0][:, None, None] + 2 * sides[1][:, None] + 1 * sides[2]
        masks.append(_APART * (part.reshape(-1, 1) != part.reshape(1, -1)).float())
    return ShiftMask(kinds.reshape(-1), torch.stack(masks))


def _groups(
    count: int, mask: ShiftMask | None, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Indices of the windows that share a mask, and that mask [voxels, voxels]."""
    if mask is None:
        yield torch.arange(count, device=device), None
        return
    kinds = mask.kinds.repeat(count // len(mask.kinds))
    for number, added in enumerate(mask.masks):
        windows = (kinds == number).nonzero()[:, 0]
        if len(windows):
            yield windows, added


def fuse_attention(network: nn.Module) -> None:
    """Put the fused attention in place of MONAI's, for inference; other networks stay."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is BasicLayer and not child.use_hyena and len(child.window_size) == 3:
                _fuse_blocks(child)
                setattr(module, name, FusedLayer(child).eval())


def _fuse_blocks(layer: BasicLayer) -> None:
    for block in layer.blocks:
        attention = block.attn
        if isinstance(attention, WindowAttention):
            block.attn = FusedWindowAttention(attention).eval()
