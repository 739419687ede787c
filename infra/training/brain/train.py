"""Train the network of the profile ``glioma``: ``python -m infra.training.brain.train``.

Network and preprocessing come from ``lab_side/profiles/glioma/profile.json``. Samples are made
while the network learns; a training that was broken off goes on from its last checkpoint. The
learning rate stays, then falls to nothing over the last steps, so that ``--steps`` may be raised
or lowered while it still stays. What is stored is the running mean of the weights.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from torch import Tensor, nn

from infra.brain_phantom.atlas import load_atlas
from infra.training.brain.samples import SampleStream
from infra.training.precision import short_floats
from infra.training.statistics import fix_statistics, recalibrate, set_momentum
from infra.training.weights import save_checkpoint, store
from lab_side.models.networks import build_network
from segrelay.profiles import load_profile
from segrelay.system.command_line import HelpfulParser

PROFILE_FOLDER = Path(__file__).parents[3] / "lab_side" / "profiles" / "glioma"

STEPS = 5000
_SEED = 20261130
_BATCH = 2
_PEAK_RATE = 2e-3
_WARM_UP = 100
_FALLING_SHARE = 0.35
_FREE_SHARE = 0.5  # of the steps; then the batch statistics are fixed
_STATISTICS_BATCHES = 150
_MEAN_OVER = 250
_CHECKPOINT_EVERY = 100
_PRINT_EVERY = 50
_RARE = -3.5  # logit of a region's share of all voxels, about 1 in 30


def main() -> None:
    """Train, or go on training, and store the weights in the profile's folder."""
    parser = HelpfulParser(prog="infra.training.brain.train", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"in all (default: {STEPS})")
    parser.add_argument("--threads", type=int, default=1, help="of the network; samples take one")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "segrelay-glioma-training",
        help="folder of the checkpoint",
    )
    parser.add_argument(
        "--store-now", action="store_true", help="store the last checkpoint's weights, train not"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.cache.mkdir(parents=True, exist_ok=True)
    training = Training(options.steps)
    checkpoint = options.cache / "checkpoint.pt"
    if checkpoint.exists():
        training.load(checkpoint)
        print(f"going on from step {training.steps_done}", flush=True)
    if not options.store_now:
        run(training, checkpoint, options)
    store(training.mean_network(), PROFILE_FOLDER, dtype=torch.float16)


class Training:
    """Network, its running mean and optimiser, which a checkpoint keeps together."""

    def __init__(self, steps: int) -> None:
        torch.manual_seed(_SEED)
        self.steps, self.steps_done, self.has_fixed_statistics = steps, 0, False
        self.network = build_network(load_profile(PROFILE_FOLDER)).train()
        _start_from_rare(self.network)
        self.mean = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=_PEAK_RATE, weight_decay=1e-4
        )

    def step(self, channels: Tensor, truth: Tensor) -> tuple[float, Tensor]:
        """One optimisation step: its loss, and [3] the Dice of the batch."""
        for group in self.optimiser.param_groups:
            group["lr"] = _PEAK_RATE * rate_share(self.steps_done, self.steps)
        self.optimiser.zero_grad()
        with short_floats():
            logits = self.network(channels)
        loss, dice = region_loss(logits.float(), truth)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.steps_done += 1
        self._follow()
        return float(loss.detach()), dice

    def _follow(self) -> None:
        """Move the running mean; at the start it is over few steps."""
        share = max(1 / _MEAN_OVER, 1 / (1 + self.steps_done / 4))
        for key, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.mean[key].lerp_(value, share)
            else:
                self.mean[key].copy_(value)

    def mean_network(self) -> nn.Module:
        """The network with the running mean of the weights, in evaluation mode."""
        self.network.load_state_dict(self.mean)
        return self.network.eval()

    def save(self, path: Path) -> None:
        """Write a checkpoint, never half of one."""
        state = {
            "network": self.network.state_dict(),
            "mean": self.mean,
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps_done,
            "has_fixed_statistics": self.has_fixed_statistics,
        }
        save_checkpoint(state, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.mean = state["mean"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps_done = int(state["steps"])
        if state["has_fixed_statistics"]:
            self.fix_statistics()

    def fix_statistics(self) -> None:
        """Let no further batch move the batch statistics."""
        fix_statistics(self.network)
        self.has_fixed_statistics = True


def rate_share(done: int, steps: int) -> float:
    """Share of the highest learning rate: up, level, and down to 0 over the last steps."""
    left = (steps - done) / (_FALLING_SHARE * steps)
    return max(0.0, min(1.0, (done + 1) / _WARM_UP, left))


def run(training: Training, checkpoint: Path, options: argparse.Namespace) -> None:
    """Train to the last step, with a line and a checkpoint now and then."""
    start, losses, dices = monotonic(), list[float](), list[Tensor]()
    for channels, truth in batches(training.steps_done, training.steps):
        if training.steps_done >= _FREE_SHARE * training.steps:
            _fix_statistics_once(training)
        loss, dice = training.step(channels, truth)
        losses.append(loss)
        dices.append(dice)
        if training.steps_done % _CHECKPOINT_EVERY == 0 or training.steps_done == options.steps:
            training.save(checkpoint)
        if training.steps_done % _PRINT_EVERY == 0:
            core, whole, enhancing = torch.stack(dices).nanmean(dim=0).tolist()
            print(
                f"step {training.steps_done} of {options.steps}: loss {np.mean(losses):.4f}, Dice "
                f"whole {whole:.3f} core {core:.3f} enhancing {enhancing:.3f}, "
                f"{monotonic() - start:.0f} s",
                flush=True,
            )
            losses, dices = [], []


def _fix_statistics_once(training: Training) -> None:
    if not training.has_fixed_statistics:
        first = training.steps_done
        others = batches(first, first + _STATISTICS_BATCHES)
        recalibrate(training.network, (channels for channels, _ in others))
        training.fix_statistics()


def batches(first: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of the steps, the next one made while the network learns from this one."""
    stream = SampleStream(load_atlas("mni"))
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(_batch, stream, first)
        for step in range(first, end):
            made = coming.result()
            if step + 1 < end:
                coming = pool.submit(_batch, stream, step + 1)
            yield made


def _batch(stream: SampleStream, step: int) -> tuple[Tensor, Tensor]:
    samples = [stream.sample(_BATCH * step + index) for index in range(_BATCH)]
    channels = torch.stack([sample.channels for sample in samples])
    truth = torch.stack([sample.truth for sample in samples])
    return channels.contiguous(memory_format=torch.channels_last_3d), truth


def region_loss(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy plus the soft Dice loss of each region over the batch (Milletari et al. 2016).

    Also [3] the Dice of the thresholded regions; NaN where a region is absent.
    """
    cross_entropy = nn.functional.binary_cross_entropy_with_logits(logits, truth)
    share, axes = torch.sigmoid(logits), (0, 2, 3, 4)
    overlap = 2 * (share * truth).sum(dim=axes) + 20
    sizes = share.square().sum(dim=axes) + truth.square().sum(dim=axes) + 20
    found, true = logits.detach() > 0, truth > 0.5
    both = (found & true).sum(dim=axes)
    dice = 2 * both / (found.sum(dim=axes) + true.sum(dim=axes))
    dice[true.sum(dim=axes) == 0] = torch.nan
    return 2 * cross_entropy + (1 - overlap / sizes).mean(), dice


def _start_from_rare(network: nn.Module) -> None:
    """Starting from 1 in 2, the first steps would only learn how rare a tumour is."""
    last_bias = [value for name, value in network.named_parameters() if "bias" in name][-1]
    nn.init.constant_(last_bias, _RARE)
    for parameter in network.parameters():
        if parameter.ndim == 5:  # convolutions run 1.6 times faster with channels last
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    set_momentum(network, 0.03)


if __name__ == "__main__":
    main()
