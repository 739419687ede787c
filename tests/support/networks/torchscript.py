"""Networks as TorchScript files."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn


def save_traced(network: nn.Module, path: Path, example: torch.Tensor) -> Path:
    """Record one forward pass and write it, as an export does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces the format's end
        torch.jit.save(torch.jit.trace(network.eval(), example), path)
    return path


def save_scripted(network: nn.Module, path: Path) -> Path:
    """Compile the network's own source and write it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces the format's end
        torch.jit.save(torch.jit.script(network.eval()), path)
    return path


class WritesWhenLoaded(nn.Module):
    """Writes a file as soon as it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> str:
        return self.path

    @torch.jit.export
    def __setstate__(self, path: str) -> None:
        self.path = path
        self.training = False
        torch.save(path, path)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values
