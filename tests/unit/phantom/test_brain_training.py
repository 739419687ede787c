"""The stream of training samples, and a training that was broken off."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from infra.training.brain import train
from infra.training.brain.cases import (
    HEALTHY_SEEDS,
    HELD_OUT_SEEDS,
    SECOND_ANATOMY_SEEDS,
    VALIDATION_SEEDS,
    make_case,
)
from infra.training.brain.samples import CROP, TRAINING_SEEDS, SampleStream
from infra.training.brain.train import Training, rate_share, region_loss
from tests.unit.phantom.brain import ball_atlas


def test_seeds_of_training_and_measurement_do_not_meet() -> None:
    ranges = (VALIDATION_SEEDS, HELD_OUT_SEEDS, SECOND_ANATOMY_SEEDS, HEALTHY_SEEDS)
    together = [seed for seeds in ranges for seed in seeds]
    assert len(together) == len(set(together))
    assert not set(together) & set(TRAINING_SEEDS)


def test_a_sample_is_a_function_of_its_number() -> None:
    atlas = ball_atlas()
    going, fresh = SampleStream(atlas), SampleStream(atlas)
    for number in range(40, 43):
        going.sample(number)
    first, again = going.sample(43), fresh.sample(43)
    assert torch.equal(first.channels, again.channels)
    assert torch.equal(first.truth, again.truth)
    assert first.channels.shape == (4, *CROP)
    assert first.truth.shape == (3, *CROP)
    inside = first.channels[first.channels != 0]
    assert abs(float(inside.mean())) < 1.5
    assert 0.3 < float(inside.std()) < 3


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    shares = [rate_share(step, 1000) for step in range(1000)]
    assert shares[0] == 0.01
    assert shares[200] == shares[640] == 1
    assert 0.45 < shares[825] < 0.55
    assert rate_share(1000, 1000) == 0


def test_a_perfect_answer_costs_little_and_an_absent_region_has_no_dice() -> None:
    truth = torch.zeros((1, 3, 8, 8, 8))
    truth[:, :2, 2:6, 2:6, 2:6] = 1
    loss, dice = region_loss(20 * (truth - 0.5), truth)
    assert float(loss) < 0.05
    assert dice[:2].tolist() == [1, 1]
    assert bool(dice[2].isnan())
    worse, _ = region_loss(20 * (0.5 - truth), truth)
    assert float(worse) > 1


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of a few thousand weights in place of the profile's."""

    def network(_profile: object) -> nn.Module:
        return nn.Sequential(nn.Conv3d(4, 4, 3, padding=1), nn.BatchNorm3d(4), nn.Conv3d(4, 3, 1))

    monkeypatch.setattr(train, "build_network", network)


@pytest.mark.usefixtures("small")
def test_a_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(7)
    batches = [(torch.randn(2, 4, 8, 8, 8), torch.rand(2, 3, 8, 8, 8).round()) for _ in range(6)]

    def learn(training: Training, some: list[tuple[Tensor, Tensor]]) -> Training:
        for batch in some:
            training.step(*batch)
        return training

    whole = learn(Training(6), batches)
    learn(Training(6), batches[:3]).save(tmp_path / "checkpoint.pt")
    later = Training(6)
    later.load(tmp_path / "checkpoint.pt")
    assert later.steps_done == 3
    learn(later, batches[3:])
    for name, value in whole.mean_network().state_dict().items():
        assert torch.equal(value, later.mean_network().state_dict()[name]), name


def test_an_examination_is_four_series_of_their_own_grids() -> None:
    case = make_case(VALIDATION_SEEDS[0], ball_atlas(), has_tumour=True)
    assert list(case.series) == ["t1c", "t1", "t2", "flair"]
    assert case.truth.shape == case.series["t1c"].voxels.shape
    regions = case.regions()
    assert regions["whole"].any()
    assert not (regions["enhancing"] & ~regions["core"]).any()
    shapes = {series.voxels.shape for series in case.series.values()}
    assert len(shapes) > 1
    # The tumour lies where the series has signal.
    assert (case.series["flair"].voxels > 0).any()
    assert (case.series["t1c"].voxels[regions["whole"]] > 0).mean() > 0.95


@pytest.mark.usefixtures("small")
def test_fixed_statistics_are_fixed_after_a_checkpoint_too(tmp_path: Path) -> None:
    training = Training(6)
    training.fix_statistics()
    training.save(tmp_path / "checkpoint.pt")
    later = Training(6)
    later.load(tmp_path / "checkpoint.pt")
    before = {name: value.clone() for name, value in later.network.named_buffers()}
    later.step(torch.randn(2, 4, 8, 8, 8) + 3, torch.ones(2, 3, 8, 8, 8))
    assert later.has_fixed_statistics
    for name, value in later.network.named_buffers():
        assert torch.equal(value, before[name]), name
