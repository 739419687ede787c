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
