"""Normalisation, components, inference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms.intensity.array import NormalizeIntensity
from numpy.typing import NDArray
from torch import nn

from lab_side.imaging.volume.normalise import normalise
from lab_side.imaging.volume.postprocess import clean_mask
from lab_side.models import inference
from lab_side.models.inference import (
    WindowMemory,
    choose_batch,
    count_windows,
    fallbacks,
    infer,
    infer_foreground,
)
from segrelay.errors import AttemptFailedError, InferenceError
from segrelay.profiles import Inference, Postprocessing
from tests.conftest import SEED

CPU = torch.device("cpu")


@pytest.mark.parametrize("nonzero", [True, False])
@given(seed=st.integers(0, 10_000), zeros=st.floats(0, 1))
def test_zscore_equals_monai(nonzero: bool, seed: int, zeros: float) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(300, 90, (5, 6, 7)).astype(np.float32)
    values[random.random(values.shape) < zeros] = 0
    expected = np.asarray(
        NormalizeIntensity(nonzero=nonzero, channel_wise=True)(torch.from_numpy(values)[None])
    )
    result = normalise(values, "zscore-nonzero" if nonzero else "zscore")
    np.testing.assert_allclose(result, expected[0], atol=2e-3)
    if nonzero:
        assert (result[values == 0] == 0).all()


def test_channels_normalised_together_keep_their_relative_brightness() -> None:
    rng = np.random.default_rng(4)
    before = rng.uniform(100, 200, (5, 6, 7)).astype(np.float32)
    before[:, :2] = 0
    channels = np.stack([before, 2 * before])
    result = normalise(channels, "zscore-nonzero")
    inside = channels != 0
    assert abs(float(result[inside].mean())) < 1e-5
    assert abs(float(result[inside].std()) - 1) < 1e-5
    assert (result[~inside] == 0).all()
    mean, spread = float(channels[inside].mean()), float(channels[inside].std())
    np.testing.assert_allclose(
        result[1][inside[1]], (2 * before[before != 0] - mean) / spread, atol=1e-4
    )


def test_no_normalisation_changes_nothing() -> None:
    values = np.arange(8, dtype=np.float32)
    np.testing.assert_array_equal(normalise(values, "none"), values)


def clean(probabilities: NDArray[np.float32], **settings_: object) -> NDArray[np.uint8]:
    return clean_mask(probabilities, Postprocessing.model_validate(settings_), voxel_ml=0.001)


def two_blobs() -> NDArray[np.float32]:
    """A hollow cube of 27 - 1 voxels and a bar of 4."""
    soft = np.zeros((9, 9, 12), dtype=np.float32)
    soft[2:5, 2:5, 2:5] = 0.9
    soft[3, 3, 3] = 0.1
    soft[7, 7, 6:10] = 0.6
    return soft


@pytest.mark.parametrize(
    ("settings_", "voxels"),
    [
        ({}, 30),
        ({"threshold": 0.7}, 26),
        ({"keep_largest_component": True}, 26),
        ({"fill_holes": True}, 31),
        ({"keep_largest_component": True, "fill_holes": True}, 27),
        ({"minimum_volume_ml": 0.005}, 26),
        ({"minimum_volume_ml": 0.5}, 0),
        ({"minimum_volume_ml": 0.5, "keep_largest_component": True}, 0),
    ],
)
def test_components_and_holes(settings_: dict[str, object], voxels: int) -> None:
    assert int(clean(two_blobs(), **settings_).sum()) == voxels


def test_a_certain_part_is_kept_before_a_large_doubtful_one() -> None:
    soft = np.zeros((20, 20, 20), dtype=np.float32)
    soft[1:17, 1:11, 1:11] = 0.6  # 1.6 ml
    soft[1:11, 13:19, 1:19] = 0.9  # 1.08 ml, more than the millilitre that counts
    soft[18, 1, 1] = 1.0  # a single voxel is not certain enough
    by_volume = clean(soft, keep_largest_component=True)
    certain = clean(soft, keep_largest_component=True, component_choice="certainty")
    assert by_volume.sum() == (soft == np.float32(0.6)).sum()
    np.testing.assert_array_equal(certain, soft == np.float32(0.9))


def test_voxels_that_touch_by_a_corner_are_one_component() -> None:
    soft = np.zeros((4, 4, 4), dtype=np.float32)
    soft[0, 0, 0] = soft[1, 1, 1] = soft[3, 3, 3] = 1
    assert clean(soft, keep_largest_component=True).sum() == 2


def test_the_threshold_itself_belongs_to_the_segment() -> None:
    assert clean(np.full((2, 2, 2), 0.5, dtype=np.float32)).sum() == 8


def test_an_empty_mask_stays_empty() -> None:
    assert not clean(np.zeros((3, 4, 5), dtype=np.float32), keep_largest_component=True).any()


class Scale(nn.Module):
    """Logits that are a multiple of the first channel."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(windows.shape))
        return windows[:, :1] * self.factor


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(st.integers(3, 40), st.integers(3, 40), st.integers(3, 40)),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
    batch=st.integers(1, 3),
)
def test_windows_cover_every_size_and_are_counted(
    shape: tuple[int, int, int], overlap: float, batch: int
) -> None:
    network = Scale(2.0)
    values = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    shares: list[float] = []
    window = Inference(window=(16, 12, 20), overlap=overlap)
    memory = WindowMemory(free_bytes=lambda: 10 * batch, window_bytes=8)
    result = infer(network, values, window, CPU, memory=memory, progress=shares.append)
    np.testing.assert_allclose(result[0], 1 / (1 + np.exp(-2.0 * values[0])), atol=1e-5)
    assert sum(item[0] for item in network.shapes) == count_windows(shape, (16, 12, 20), overlap)
    assert all(item[2:] == (16, 12, 20) for item in network.shapes)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@given(
    start=st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12)),
    size=st.tuples(st.integers(1, 25), st.integers(1, 25), st.integers(1, 25)),
)
def test_only_the_foreground_is_computed_and_the_rest_is_nothing(
    start: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    values = np.zeros((2, 30, 26, 37), np.float32)
    inside = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    values[0][inside] = 2.0
    network = Scale(1.0)
    window = Inference(window=(16, 16, 24), overlap=0.25, foreground_multiple=8)
    found = infer_foreground(network, values, window, CPU)
    np.testing.assert_allclose(found[0][values[0] > 0], 1 / (1 + np.exp(-2.0)), atol=1e-6)
    assert found.shape == (1, 30, 26, 37)
    assert set(np.unique(found.round(4))) <= {0.0, 0.5, np.float32(1 / (1 + np.exp(-2.0))).round(4)}
    for _, _, *sides in network.shapes:
        assert all(side % 8 == 0 for side in sides)
        assert all(side <= most for side, most in zip(sides, (16, 16, 24), strict=True))


def test_a_volume_of_nothing_but_zeros_is_computed_as_a_whole() -> None:
    window = Inference(window=(8, 8, 8), overlap=0, foreground_multiple=8)
    found = infer_foreground(Scale(1.0), np.zeros((1, 8, 8, 8), np.float32), window, CPU)
    assert (found == 0.5).all()


def test_softmax_gives_shares_of_one() -> None:
    class Two(nn.Module):
        def forward(self, windows: torch.Tensor) -> torch.Tensor:
            return torch.cat([windows, 3 - windows], dim=1)

    settings_ = Inference(window=(8, 8, 8), overlap=0.25, activation="softmax")
    result = infer(Two(), np.ones((1, 8, 8, 8), dtype=np.float32), settings_, CPU)
    np.testing.assert_allclose(result.sum(axis=0), 1.0, atol=1e-6)
    np.testing.assert_allclose(result[1], 1 / (1 + np.exp(-1.0)), atol=1e-6)


class Lopsided(nn.Module):
    """Looks at one neighbour along each axis, so that mirrored windows give other logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.layer = nn.Conv3d(2, 2, 3, padding=1)
        self.passes = 0

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.passes += len(windows)
        logits: torch.Tensor = self.layer(windows)
        return logits


EVERY_FLIP = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("flips", [((0,), (1, 2)), EVERY_FLIP])
def test_flips_equal_the_plain_mean_of_mirrored_logits(
    flips: tuple[tuple[int, ...], ...], activation: str
) -> None:
    values = np.random.default_rng(SEED).normal(size=(2, 12, 10, 14)).astype(np.float32)
    network, shares = Lopsided(), list[float]()
    window = {"window": values.shape[1:], "overlap": 0, "activation": activation}
    settings_ = Inference.model_validate({**window, "flips": flips})
    found = infer(network, values, settings_, CPU, progress=shares.append)
    tensor = torch.from_numpy(values)[None]
    with torch.inference_mode():
        logits = [network(tensor)]
        for axes in flips:
            mirrored = tuple(axis + 2 for axis in axes)
            logits.append(torch.flip(network(torch.flip(tensor, mirrored)), mirrored))
        mean = torch.stack(logits).mean(dim=0)
        expected = mean.sigmoid() if activation == "sigmoid" else mean.softmax(dim=1)
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-6)
    plain = infer(network, values, Inference.model_validate(window), CPU)
    assert np.abs(found - plain).max() > 0.01
    assert shares == [(number + 1) / (1 + len(flips)) for number in range(1 + len(flips))]


def test_every_pass_over_every_window_is_progress() -> None:
    values = np.ones((2, 20, 16, 16), dtype=np.float32)
    network, shares = Lopsided(), list[float]()
    settings_ = Inference(window=(8, 8, 8), overlap=0.25, flips=((2,),))
    memory = WindowMemory(free_bytes=lambda: 4, window_bytes=1)
    infer(network, values, settings_, CPU, memory=memory, progress=shares.append)
    assert network.passes == 2 * count_windows((20, 16, 16), (8, 8, 8), 0.25)
    assert shares == sorted(set(shares))
    assert shares[-1] == 1.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_is_refused(bad: float) -> None:
    values = np.ones((1, 8, 8, 8), dtype=np.float32)
    with pytest.raises(InferenceError) as caught:
        infer(Scale(bad), values, Inference(window=(8, 8, 8), overlap=0.25), CPU)
    assert caught.value.code == "output-not-finite"


def test_no_gradients_are_kept() -> None:
    class Asks(nn.Module):
        def forward(self, windows: torch.Tensor) -> torch.Tensor:
            assert torch.is_inference_mode_enabled()
            return windows

    infer(Asks(), np.ones((1, 8, 8, 8), np.float32), Inference(window=(8, 8, 8), overlap=0), CPU)


class Hungry(nn.Module):
    """Has memory for so many windows at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.asked: list[int] = []

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Fails as a GPU without memory does."""
        self.asked.append(len(windows))
        if len(windows) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return windows * 2.0


GPU = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("free", "window", "windows", "batch"),
    [
        (10_000, 1_000, 99, 8),
        (10_000, 1_000, 3, 3),
        (1_000_000, 1_000, 99, inference.MOST_WINDOWS),
        (500, 1_000, 99, 1),
        (500, 0, 99, 1),
    ],
)
def test_as_many_windows_at_once_as_four_fifths_of_the_free_memory_take(
    free: int, window: int, windows: int, batch: int
) -> None:
    memory = WindowMemory(free_bytes=lambda: free, window_bytes=window)
    assert choose_batch(memory, windows) == batch


def test_nothing_known_of_the_memory_is_one_window_at_once() -> None:
    assert choose_batch(None, 99) == 1


def test_a_gpu_that_runs_out_of_memory_is_asked_for_less() -> None:
    assert fallbacks(GPU, 5) == [(5, GPU), (2, GPU), (1, GPU), (1, CPU)]
    assert fallbacks(GPU, 1) == [(1, GPU), (1, CPU)]
    assert fallbacks(CPU, 1) == [(1, CPU)]


@pytest.mark.parametrize("flips", [(), ((0,), (1, 2))])
def test_memory_that_others_took_meanwhile_makes_smaller_batches_of_the_same_answer(
    flips: tuple[tuple[int, ...], ...],
) -> None:
    """What was free when the batch was chosen is not when it runs."""
    values = np.random.default_rng(2).normal(size=(1, 20, 20, 20)).astype(np.float32)
    window = Inference(window=(8, 8, 8), overlap=0.25, flips=flips)
    memory = WindowMemory(free_bytes=lambda: 100, window_bytes=10)
    hungry = Hungry(2)
    found = infer(hungry, values, window, CPU, memory=memory)
    assert list(dict.fromkeys(hungry.asked))[:3] == [8, 4, 2]
    np.testing.assert_array_equal(found, infer(Hungry(9), values, window, CPU))


def test_no_memory_for_one_window_is_an_attempt_that_failed() -> None:
    values = np.ones((1, 8, 8, 8), dtype=np.float32)
    with pytest.raises(AttemptFailedError) as caught:
        infer(Hungry(0), values, Inference(window=(8, 8, 8), overlap=0), CPU)
    assert caught.value.code == "out-of-memory"
