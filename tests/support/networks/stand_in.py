"""A loaded model around a network of one line; apart from what imports no torch."""

from __future__ import annotations

import torch
from torch import nn

from lab_side.models.loaded import LoadedModel
from segrelay.profiles import Profile
from tests.support.dicom.imaging_cases import MODEL_SHA256


class Bright(nn.Module):
    """Stands in for a network: every segment is where the first channel is above 100."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """[batch, channels, …] to logits [batch, outputs, …]."""
        return ((windows[:, :1] - 100.0) / 20.0).repeat(1, self.outputs, 1, 1, 1)


def stand_in(profile: Profile, network: nn.Module | None = None) -> LoadedModel:
    """A loaded model around ``network`` (default: :class:`Bright`)."""
    return LoadedModel(
        profile=profile,
        network=network or Bright(len(profile.segments)),
        device=torch.device("cpu"),
        device_name="cpu",
        model_sha256=MODEL_SHA256,
        load_seconds=0.0,
        warm_up_seconds=0.0,
    )
