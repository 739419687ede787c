"""Train the demo network on phantoms: ``python -m infra.training.train``.

The network and its preprocessing come from ``lab_side/profiles/demo/profile.json``; the weights
go beside it and their SHA-256 into it. A first stage learns on coarse voxels what a lesion is,
the others, on the profile's own voxels, where it ends. Phantoms, crops and initial weights are
functions of fixed seeds; only the order of floating-point sums may differ between machines.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import monotonic

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from infra.training.cases import PROFILE_FOLDER, TRAINING_SEEDS, Example, example, is_healthy
from infra.training.evaluate import as_text, evaluate_validation
from infra.training.weights import WEIGHTS_FILE, save_checkpoint, store
from lab_side.models.networks import build_network
from segrelay.profiles import Profile, load_profile
from segrelay.system.command_line import HelpfulParser

_SEED = 20260302
_BATCH = 4
_LESION_CROPS = 0.5
_BRIGHT_CROPS = 0.25  # heart and vessels, mostly
_MARGIN = 24
_RARE = -4.0  # logit of the lesion's share of all voxels, about 1 in 50
_CHECKPOINT_EVERY = 50


@dataclass(frozen=True)
class Stage:
    """One part of the training.

    Attributes
    ----------
    spacing_mm:
        Side of a voxel of the cases; None: as the profile says.
    crop:
        Side of a crop in voxels.
    seeds:
        The phantoms.
    peak_rate:
        Highest learning rate of the cycle (Smith and Topin 2018).
    """

    name: str
    spacing_mm: float | None
    crop: int
    seeds: Sequence[int]
    steps: int
    peak_rate: float


STAGES = (
    Stage("coarse", 2.0, 56, TRAINING_SEEDS, 4500, 4e-3),
    Stage("fine", None, 64, TRAINING_SEEDS[:200], 1200, 1e-3),
    Stage("fine-all", None, 64, TRAINING_SEEDS, 2000, 2e-3),
)


def main() -> None:
    """Make the cases, train, store the weights and print the validation numbers.

    Held-out phantoms are left to ``infra.training.evaluate``: a look at them after each training
    would soon be a choice by them.
    """
    parser = HelpfulParser(prog="infra.training.train", description=__doc__)
    names = [stage.name for stage in STAGES]
    parser.add_argument(
        "--first-stage",
        choices=names,
        default=names[0],
        help="a later one starts from the weights beside the profile",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "segrelay-demo-training",
        help="prepared cases and checkpoints; a broken-off training goes on from there "
        "(delete it after a change of the phantom)",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    profile = load_profile(PROFILE_FOLDER)
    network = initial_network(profile)
    first = names.index(options.first_stage)
    if first > 0:
        network.load_state_dict(load_file(PROFILE_FOLDER / WEIGHTS_FILE))
    for stage in STAGES[first:]:
        run(stage, network, profile, options.cache, options.threads)
    store(network.eval(), PROFILE_FOLDER)
    print(as_text(evaluate_validation()))


def run(stage: Stage, network: nn.Module, profile: Profile, cache: Path, workers: int) -> None:
    """Make the stage's cases and train the network on them."""
    if stage.spacing_mm is not None:
        profile = at_spacing(profile, stage.spacing_mm)
    folder = cache_folder(cache, profile)
    examples = prepare(stage.seeds, profile, folder, workers)
    train(network, examples, stage, folder)


def at_spacing(profile: Profile, spacing_mm: float) -> Profile:
    """The profile with cubic voxels of another size."""
    spacing = (spacing_mm, spacing_mm, spacing_mm)
    preprocessing = profile.preprocessing.model_copy(update={"spacing_mm": spacing})
    return profile.model_copy(update={"preprocessing": preprocessing})


def cache_folder(cache: Path, profile: Profile) -> Path:
    """A folder of its own for each network and preprocessing."""
    parts = profile.preprocessing.model_dump_json() + profile.network.model_dump_json()
    folder = cache / hashlib.sha256(parts.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def prepare(seeds: Sequence[int], profile: Profile, folder: Path, workers: int) -> list[Example]:
    """The examples of the seeds, made in several processes or read from the folder."""
    start = monotonic()
    job = partial(_prepare_one, profile=profile, folder=folder)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        paths = list(pool.map(job, seeds, chunksize=4))
    print(f"{len(paths)} cases in {monotonic() - start:.0f} s", flush=True)
    return [_read(path) for path in paths]


def _prepare_one(seed: int, profile: Profile, folder: Path) -> Path:
    path = folder / f"{seed}.npz"
    if not path.exists():
        torch.set_num_threads(1)
        made = example(seed, profile, has_lesion=not is_healthy(seed))
        partial_path = path.with_suffix(".part.npz")
        np.savez(partial_path, channels=made.channels, truth=made.truth)
        partial_path.replace(path)
    return path


def _read(path: Path) -> Example:
    with np.load(path) as stored:
        return Example(stored["channels"], stored["truth"])


def initial_network(profile: Profile) -> nn.Module:
    """The profile's network with its first weights."""
    torch.manual_seed(_SEED)
    network = build_network(profile)
    last_bias = [value for name, value in network.named_parameters() if "bias" in name][-1]
    # Starting from 1 in 2 instead, the first thousand steps would only learn this number.
    nn.init.constant_(last_bias, _RARE)
    for parameter in network.parameters():
        if parameter.ndim == 5:  # convolutions run 1.6 times faster with channels last
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return network


class _Training:
    """Network, optimiser and schedule, which a checkpoint keeps together."""

    def __init__(self, network: nn.Module, stage: Stage) -> None:
        self.network = network.train()
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=stage.peak_rate, weight_decay=1e-4
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, max_lr=stage.peak_rate, total_steps=stage.steps, pct_start=0.1
        )
        self.steps_done = 0

    def step(self, channels: Tensor, truth: Tensor) -> float:
        """One optimisation step; returns the loss."""
        self.optimiser.zero_grad()
        loss = segmentation_loss(self.network(channels), truth)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.schedule.step()
        self.steps_done += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write a checkpoint, never half of one."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "steps": self.steps_done,
        }
        save_checkpoint(state, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.steps_done = int(state["steps"])


def train(network: nn.Module, examples: list[Example], stage: Stage, folder: Path) -> None:
    """Train the network in place, or go on from the checkpoint in ``folder``."""
    training = _Training(network, stage)
    checkpoint = folder / f"checkpoint-{stage.name}-{stage.steps}.pt"
    if checkpoint.exists():
        training.load(checkpoint)
    start, losses = monotonic(), list[float]()
    while training.steps_done < stage.steps:
        rng = np.random.default_rng([_SEED, training.steps_done])
        losses.append(training.step(*random_batch(examples, stage.crop, rng)))
        if training.steps_done % _CHECKPOINT_EVERY == 0:
            training.save(checkpoint)
            mean, losses = float(np.mean(losses)), []
            seconds = monotonic() - start
            print(f"step {training.steps_done}: loss {mean:.4f}, {seconds:.0f} s", flush=True)


def random_batch(
    examples: list[Example], side: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Random crops: [batch, 4, side, side, side] and [batch, 1, side, side, side] float32."""
    chosen = rng.choice(len(examples), _BATCH, replace=False)
    crops = [_random_crop(examples[int(index)], side, rng) for index in chosen]
    channels = torch.from_numpy(np.stack([crop.channels for crop in crops]).astype(np.float32))
    truth = torch.from_numpy(np.stack([crop.truth for crop in crops])[:, None].astype(np.float32))
    return channels.contiguous(memory_format=torch.channels_last_3d), truth


def _random_crop(whole: Example, side: int, rng: np.random.Generator) -> Example:
    """A crop, flipped at random, with a little change of intensity."""
    size = np.array(whole.truth.shape)
    low = np.clip(_middle(whole, rng) - side // 2, -_MARGIN, size - side + _MARGIN)
    inside = [slice(max(int(n), 0), max(int(n), 0) + side + min(int(n), 0)) for n in low]
    channels, truth = whole.channels[(slice(None), *inside)], whole.truth[tuple(inside)]
    # Windows of the product reach over the volume's end in the same way, filled with 0.
    before = [max(-int(n), 0) for n in low]
    missing = [(n, side - n - count) for n, count in zip(before, truth.shape, strict=True)]
    channels, truth = np.pad(channels, [(0, 0), *missing]), np.pad(truth, missing)
    # Right and left, head and feet may change places; front and back never do.
    axes = [axis for axis in (0, 2) if rng.random() < 0.5]
    channels = np.flip(channels, tuple(axis + 1 for axis in axes))
    scale, shift = rng.uniform(0.9, 1.1, (4, 1, 1, 1)), rng.uniform(-0.1, 0.1, (4, 1, 1, 1))
    changed = np.where(channels != 0, channels * scale + shift, 0).astype(np.float16)
    return Example(changed, np.flip(truth, tuple(axes)))


def _middle(whole: Example, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """(3,) where a crop is centred: about a lesion, on something bright, or anywhere."""
    kind = rng.random()
    lesion = np.argwhere(whole.truth > 0.5)
    if kind < _LESION_CROPS and len(lesion):
        return np.asarray(lesion[rng.integers(len(lesion))] + rng.integers(-18, 19, 3), np.intp)
    if kind < _LESION_CROPS + _BRIGHT_CROPS:
        after = whole.channels[1].astype(np.float32)
        bright = np.argwhere(after > np.percentile(after, 99.5))
        return np.asarray(bright[rng.integers(len(bright))] + rng.integers(-12, 13, 3), np.intp)
    return np.asarray(rng.integers(0, whole.truth.shape), np.intp)


def segmentation_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy plus the soft Dice loss of the whole batch (Milletari et al. 2016)."""
    cross_entropy = nn.functional.binary_cross_entropy_with_logits(logits, truth)
    share = torch.sigmoid(logits)
    overlap = 2 * (share * truth).sum() + 1
    dice_loss = 1 - overlap / (share.square().sum() + truth.square().sum() + 1)
    return cross_entropy + dice_loss


if __name__ == "__main__":
    main()
