"""The training of the breast network: it continues where it was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from infra.training.breast.crops import IGNORED, CropFolder
from infra.training.breast.train import (
    Training,
    changed,
    finish,
    masked_loss,
    random_batch,
    train,
)


class FewCrops:
    """Stands in for the folder: small crops with a bright ball as the tumour."""

    def refresh(self) -> int:
        return 1

    def random(self, rng: np.random.Generator) -> Any:
        crop = rng.normal(0, 0.2, (5, 16, 16, 8)).astype(np.float16)
        crop[4] = 0
        crop[:, 4:9, 4:9, 3:6] = 1
        crop[:4, 12:] = 0
        return crop


CROPS = cast("CropFolder", FewCrops())


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv3d(4, 4, 3, padding=1), nn.BatchNorm3d(4), nn.Conv3d(4, 1, 1))


def weights(training: Training) -> torch.Tensor:
    return torch.cat([value.flatten() for value in training.network.parameters()]).detach()


def buffers(training: Training) -> list[tuple[str, torch.Tensor]]:
    return [item for item in training.network.named_buffers() if "running" in item[0]]


@pytest.mark.process
def test_a_broken_off_training_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    whole = Training(network())
    train(whole, CROPS, 12, tmp_path / "whole")
    finish(whole, CROPS, 4, tmp_path / "whole")
    train(Training(network()), CROPS, 7, tmp_path / "parts")
    resumed = Training(network())
    train(resumed, CROPS, 12, tmp_path / "parts")
    finish(resumed, CROPS, 4, tmp_path / "parts")
    torch.testing.assert_close(weights(resumed), weights(whole))
    statistics = [value.clone() for _, value in buffers(whole)]
    finish(whole, CROPS, 3, tmp_path / "whole", has_fixed_statistics=True)
    assert whole.steps_done == 19
    for before, (_, after) in zip(statistics, buffers(whole), strict=True):
        torch.testing.assert_close(after, before)


def test_what_is_ignored_does_not_count() -> None:
    logits = torch.full((1, 1, 2, 2, 2), -8.0)
    truth = torch.zeros(1, 1, 2, 2, 2)
    logits[..., 0], truth[..., 0] = 8.0, 1.0
    clean = masked_loss(logits, truth)
    truth[..., 1, 1] = IGNORED
    logits[..., 1, 1] = 8.0
    assert float(masked_loss(logits, truth)) <= float(clean) + 1e-3


def test_batches_are_turned_with_their_truth_and_keep_air() -> None:
    for number in range(12):
        channels, truth = random_batch(CROPS, np.random.default_rng(number))
        assert channels.shape[2:] == truth.shape[2:]
        inside = truth > 0.5
        assert int(inside.sum()) == 2 * 5 * 5 * 3
        assert float(channels[:, :1][inside].mean()) > 0.5
        assert float((channels == 0).float().mean()) > 0.2


def test_intensities_change_alike_in_all_phases() -> None:
    channels = np.stack([np.full((2, 2, 2), value, np.float32) for value in (0.0, 1.0, 3.0, 2.0)])
    result = changed(channels, np.random.default_rng(3))
    assert (result[0] == 0).all()
    assert result[2].mean() > result[3].mean() > result[1].mean()
