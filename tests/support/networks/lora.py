"""Low-rank adapters as PEFT leaves them in a checkpoint, beside the same network unmerged."""

from __future__ import annotations

import torch
from torch import nn


class HandLora(nn.Module):
    """A linear layer with its adapter beside it, as during training."""

    def __init__(self, base: nn.Linear, down: torch.Tensor, up: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.base, self.down, self.up, self.scale = base, down, up, scale

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """y = W x + b + scale B A x."""
        change = nn.functional.linear(nn.functional.linear(values, self.down), self.up)
        result: torch.Tensor = self.base(values) + self.scale * change
        return result


def adapt(
    network: nn.Module, *, rank: int, alpha: float, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Put random adapters on every ``attn.qkv`` of ``network``, in place and unmerged.

    Returns its weights under the names that PEFT gives them, without a prefix.
    """
    state: dict[str, torch.Tensor] = dict(network.state_dict())
    for name, layer in list(network.named_modules()):
        if not name.endswith("attn.qkv"):
            continue
        assert isinstance(layer, nn.Linear)
        down = 0.1 * torch.randn(rank, layer.in_features, generator=generator)
        up = 0.1 * torch.randn(layer.out_features, rank, generator=generator)
        for part in ("weight", "bias"):
            state[f"{name}.base_layer.{part}"] = state.pop(f"{name}.{part}")
        state[f"{name}.lora_A.default.weight"] = down
        state[f"{name}.lora_B.default.weight"] = up
        parent = network.get_submodule(name.rsplit(".", 1)[0])
        parent.qkv = HandLora(layer, down, up, alpha / rank)
    return state
