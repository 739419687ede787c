"""Measure the profile ``glioma`` on synthetic heads, through the product's imaging pipeline.

``python -m infra.training.brain.evaluate`` prints a line for each case and a summary of one set:

``validation``  heads by which numbers may be chosen
``held-out``    heads that nothing was chosen by
``second``      heads from another anatomy than that of training
``healthy``     heads without a tumour

Skulls are stripped by the phantom's own imperfect mask; the rest is what a job does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from infra.brain_phantom.atlas import load_atlas
from infra.phantom.grid import Grid as Places
from infra.training.brain.cases import (
    HEALTHY_SEEDS,
    HELD_OUT_SEEDS,
    SECOND_ANATOMY_SEEDS,
    VALIDATION_SEEDS,
    BrainCase,
    brain_on,
    make_case,
    regions_of,
)
from infra.training.brain.train import PROFILE_FOLDER
from lab_side.evaluation.overlap import dice
from lab_side.imaging.pipeline import predict
from lab_side.imaging.volume.grid import grid_of, network_grid
from lab_side.imaging.write.measure import voxel_ml
from lab_side.models.brain import BrainFinder
from lab_side.models.loaded import LoadedModel, load_model
from segrelay.system.command_line import HelpfulParser

SETS = {
    "validation": (VALIDATION_SEEDS, "mni", True),
    "held-out": (HELD_OUT_SEEDS, "mni", True),
    "second": (SECOND_ANATOMY_SEEDS, "colin", True),
    "healthy": (HEALTHY_SEEDS, "mni", False),
}
CLEAR_ML = 0.5
"""So much may be found in a healthy head."""


@dataclass(frozen=True)
class CaseScore:
    """One case: millilitres of whole tumour, and Dice by region; None where there is none."""

    seed: int
    truth_ml: float
    found_ml: float
    dice: dict[str, float | None]


class PhantomBrain:
    """The phantom's own skull strip in place of deepbet, on the network's grid."""

    def __init__(self, case: BrainCase, model: LoadedModel) -> None:
        settings = model.profile.preprocessing
        reference = grid_of(case.series[model.profile.reference_role])
        grid = network_grid(reference, settings.orientation, settings.spacing_mm)
        self._points = Places(grid.shape[::-1], grid.affine).points()
        self._patient = case.patient

    def find(self, _head: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """As ``BrainFinder.find``; the network's axes are those of the head (RAS)."""
        return brain_on(self._patient, self._points).transpose(2, 1, 0)


def score(case: BrainCase, model: LoadedModel) -> CaseScore:
    """Segment a case and compare."""
    finder = cast("BrainFinder", PhantomBrain(case, model))
    masks = predict(case.series, replace(model, brain_finder=finder))
    labels = np.zeros(case.truth.shape, np.uint8)
    for segment, mask in zip(model.profile.segments, masks, strict=True):
        labels[mask > 0] = segment.number
    found, true = regions_of(labels), case.regions()
    one_ml = voxel_ml(case.series[model.profile.reference_role].affine)
    return CaseScore(
        seed=case.seed,
        truth_ml=float(true["whole"].sum() * one_ml),
        found_ml=float(found["whole"].sum() * one_ml),
        dice={
            name: float(dice(_as_mask(found[name]), _as_mask(truth))) if truth.any() else None
            for name, truth in true.items()
        },
    )


def _as_mask(region: npt.NDArray[np.bool_]) -> Any:
    return region.astype(np.uint8)


def scores(name: str, count: int | None, folder: Path) -> Iterator[CaseScore]:
    """Of the first ``count`` cases of a set, one after the other."""
    seeds, anatomy, has_tumour = SETS[name]
    model, atlas = load_model(folder), load_atlas(anatomy)
    for seed in seeds[:count]:
        yield score(make_case(seed, atlas, has_tumour=has_tumour), model)


def main() -> None:
    """Parse the command line, measure and print."""
    parser = HelpfulParser(prog="infra.training.brain.evaluate", description=__doc__)
    parser.add_argument("--set", choices=list(SETS), default="validation", dest="name")
    parser.add_argument("--count", type=int, help="only the first so many cases")
    parser.add_argument("--profile-folder", type=Path, default=PROFILE_FOLDER)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = []
    print("    seed   truth ml   found ml   Dice whole  core   enhancing", flush=True)
    for item in scores(options.name, options.count, options.profile_folder):
        found.append(item)
        values = "  ".join(
            "  -  " if value is None else f"{value:.3f}" for value in item.dice.values()
        )
        print(
            f"{item.seed} {item.truth_ml:>9.2f} {item.found_ml:>10.2f}        {values}", flush=True
        )
    print(summary(found))


def summary(found: list[CaseScore]) -> str:
    """Means over the cases that have the region, and how many healthy heads are clear."""
    healthy = [item for item in found if item.truth_ml == 0]
    lines = []
    for region in found[0].dice if found else ():
        values = [value for item in found if (value := item.dice[region]) is not None]
        if values:
            lines.append(
                f"{region}: mean Dice {np.mean(values):.3f}, median {np.median(values):.3f}, "
                f"lowest {min(values):.3f}, {len(values)} cases"
            )
    if healthy:
        clear = sum(item.found_ml <= CLEAR_ML for item in healthy)
        lines.append(f"{clear} of {len(healthy)} healthy heads with at most {CLEAR_ML} ml")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
