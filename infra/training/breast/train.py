"""Train the network of the profile ``breast-dce``: ``python -m infra.training.breast.train``.

The network and its preprocessing come from ``lab_side/profiles/breast-dce/profile.json``; the
weights go beside it and their SHA-256 into it. The learning rate stays high for as many steps as
there is time for (``--steps``), then falls to nothing (``--decay``): such a training can be
broken off, continued and finished at any time (Hägele et al. 2024, arXiv:2405.18392).
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from infra.phantom.grid import FloatArray
from infra.training.breast.crops import IGNORED, TRAINING_SEEDS, CropFolder
from infra.training.precision import short_floats
from infra.training.statistics import fix_statistics, recalibrate, set_momentum
from infra.training.train import initial_network
from infra.training.weights import save_checkpoint, store
from segrelay.profiles import load_profile
from segrelay.system.command_line import HelpfulParser

PROFILE_FOLDER = Path(__file__).parents[3] / "lab_side" / "profiles" / "breast-dce"

_SEED = 20261130
_BATCH = 2
_SIDE = 64  # voxels of what is cut out of a stored crop, at random
_PEAK_RATE = 2e-3
_WARM_UP = 200
_ANY_POSITION = 0.35  # share of batches turned and mirrored along all axes
_CHECKPOINT_EVERY = 50
_MOMENTUM = 0.03  # of the batch statistics: batches differ more than slices of one study
_STATISTICS_BATCHES = 150


class Training:
    """Network, optimiser and number of steps, which a checkpoint keeps together."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.train()
        set_momentum(network, _MOMENTUM)
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=_PEAK_RATE, weight_decay=1e-4)
        self.steps_done = 0

    def step(self, channels: Tensor, truth: Tensor, rate: float) -> float:
        """One optimisation step; returns the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        with short_floats():
            logits = self.network(channels)
        loss = masked_loss(logits.float(), truth)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.steps_done += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write a checkpoint, never half of one."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps_done,
        }
        save_checkpoint(state, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps_done = int(state["steps"])


def main() -> None:
    """Make the crops, train, let the rate fall, and store the weights."""
    parser = HelpfulParser(prog="infra.training.breast.train", description=__doc__)
    parser.add_argument("--patients", type=int, default=400, help="how many are trained on")
    parser.add_argument("--steps", type=int, default=6000, help="at the full learning rate")
    parser.add_argument("--decay", type=int, default=1500, help="while it falls to 0; 0: no end")
    parser.add_argument("--again", type=int, default=0, help="steps of a second fall of the rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", type=Path, default=PROFILE_FOLDER)
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "segrelay-breast-training",
        help="crops and checkpoints; a broken-off training goes on from there",
    )
    options = parser.parse_args()
    # Ends the process that makes the crops, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("training broken off"))
    torch.set_num_threads(options.threads)
    profile = load_profile(options.profile)
    training = Training(initial_network(profile))
    spacing = profile.preprocessing.spacing_mm[0]
    with CropFolder(
        options.cache / f"crops-{spacing}mm", TRAINING_SEEDS[: options.patients], spacing
    ) as crops:
        train(training, crops, options.steps, options.cache)
        if options.decay:
            finish(training, crops, options.decay, options.cache)
            finish(training, crops, options.again, options.cache, has_fixed_statistics=True)
            store(training.network.eval(), options.profile)


def train(training: Training, crops: CropFolder, steps: int, folder: Path) -> None:
    """Train at the full rate up to a number of steps, or go on from the checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "stable.pt"
    if checkpoint.exists():
        training.load(checkpoint)
    _run(training, crops, steps, checkpoint, lambda step: min(1.0, (step + 1) / _WARM_UP))


def finish(
    training: Training,
    crops: CropFolder,
    steps: int,
    folder: Path,
    *,
    has_fixed_statistics: bool = False,
) -> None:
    """Let the rate fall linearly to 0 over ``steps`` steps, or go on doing so.

    Batch statistics are fixed from here on.
    """
    start = training.steps_done
    checkpoint = folder / f"decay-{start}-{steps}.pt"
    if checkpoint.exists():
        training.load(checkpoint)
    elif not has_fixed_statistics:
        generators = (np.random.default_rng([_SEED, 1, n]) for n in range(_STATISTICS_BATCHES))
        recalibrate(training.network, (random_batch(crops, rng)[0] for rng in generators))
    fix_statistics(training.network)
    _run(training, crops, start + steps, checkpoint, lambda step: 1 - (step - start) / steps)


def _run(
    training: Training,
    crops: CropFolder,
    last: int,
    checkpoint: Path,
    rate: Callable[[int], float],
) -> None:
    start, losses = monotonic(), list[float]()
    while training.steps_done < last:
        step = training.steps_done
        batch = random_batch(crops, np.random.default_rng([_SEED, step]))
        losses.append(training.step(*batch, _PEAK_RATE * rate(step)))
        if training.steps_done % _CHECKPOINT_EVERY == 0 or training.steps_done == last:
            training.save(checkpoint)
            patients, seconds = crops.refresh(), monotonic() - start
            print(
                f"step {training.steps_done}: loss {np.mean(losses):.4f}, {patients} patients, "
                f"rate {_PEAK_RATE * rate(step):.5f}, {seconds:.0f} s",
                flush=True,
            )
            losses.clear()


def random_batch(crops: CropFolder, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random cubes: [batch, 4, …] and [batch, 1, …] float32."""
    chosen = np.stack([_cut(crops.random(rng), rng) for _ in range(_BATCH)]).astype(np.float32)
    mirrored = [2, 4]  # right and left, head and feet may always change places
    if rng.random() < _ANY_POSITION:
        # Exports that lost the orientation show patients in any position.
        mirrored = [2, 3, 4]
        chosen = chosen.transpose(0, 1, *(2 + rng.permutation(3)))
    for crop in chosen:
        axes = tuple(axis - 1 for axis in mirrored if rng.random() < 0.5)
        crop[...] = np.flip(crop, axes).copy()
        crop[:-1] = changed(crop[:-1], rng)
    channels = torch.from_numpy(np.ascontiguousarray(chosen[:, :-1]))
    truth = torch.from_numpy(np.ascontiguousarray(chosen[:, -1:]))
    return channels.contiguous(memory_format=torch.channels_last_3d), truth


def _cut(crop: npt.NDArray[np.float16], rng: np.random.Generator) -> npt.NDArray[np.float16]:
    """A cube at a random place of a crop."""
    starts = [int(rng.integers(max(side - _SIDE, 0) + 1)) for side in crop.shape[1:]]
    return crop[(slice(None), *(slice(start, start + _SIDE) for start in starts))]


def changed(channels: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Other gain and offset, alike for all phases but for a little; zeros stay 0."""
    gain = np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.04, (len(channels), 1, 1, 1)))
    offset = rng.normal(0, 0.12) + rng.normal(0, 0.03, (len(channels), 1, 1, 1))
    values = channels * gain.astype(np.float32) + offset.astype(np.float32)
    result: FloatArray = np.where(channels != 0, values, np.float32(0))
    return result


def masked_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy plus the soft Dice loss of the whole batch (Milletari et al. 2016).

    Voxels of the value :data:`IGNORED` do not count.
    """
    counts = (truth != IGNORED).float()
    wanted = truth * counts
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, wanted, weight=counts)
    share = torch.sigmoid(logits) * counts
    overlap = 2 * (share * wanted).sum() + 1
    dice_loss = 1 - overlap / (share.square().sum() + wanted.square().sum() + 1)
    return entropy + dice_loss


if __name__ == "__main__":
    main()
