"""Measure the demo network on held-out phantoms, through the product's imaging pipeline.

``python -m infra.training.evaluate`` prints one line per case and a summary; ``--json`` prints the
report as JSON; ``--validation`` measures the cases that the profile's numbers were tuned on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from infra.training.cases import (
    HELD_OUT_HEALTHY_SEEDS,
    HELD_OUT_LESION_SEEDS,
    PROFILE_FOLDER,
    VALIDATION_SEEDS,
    is_healthy,
    varied_case,
    volumes_of,
)
from lab_side.evaluation.overlap import dice
from lab_side.imaging.pipeline import predict
from lab_side.imaging.write.measure import voxel_ml
from lab_side.models.loaded import LoadedModel, load_model
from segrelay.system.command_line import HelpfulParser


@dataclass(frozen=True)
class CaseScore:
    """One case: volumes in ml; ``dice`` is None where there is no lesion."""

    seed: int
    truth_ml: float
    found_ml: float
    dice: float | None


@dataclass(frozen=True)
class Report:
    """Figures of the evaluated cases.

    Attributes
    ----------
    mean_dice, lowest_dice:
        Over the cases with a lesion; a missed lesion counts 0.
    healthy_clear:
        Healthy cases without any tumour reported.
    """

    model_sha256: str
    mean_dice: float
    lowest_dice: float
    healthy_clear: int
    healthy: int
    cases: tuple[CaseScore, ...]


def evaluate(
    seeds_lesion: Iterable[int] = HELD_OUT_LESION_SEEDS,
    seeds_healthy: Iterable[int] = HELD_OUT_HEALTHY_SEEDS,
    *,
    profile_folder: Path = PROFILE_FOLDER,
    device: str = "cpu",
) -> Report:
    """Segment phantoms and compare with their truth on the scanner's grid.

    Every seed gives a grid of another orientation, tilt, spacing and field of view.

    Raises
    ------
    FixConfigurationError
        The profile or its weights cannot be loaded.
    """
    model = load_model(profile_folder, device=device)
    sick = [score(seed, model, has_lesion=True) for seed in seeds_lesion]
    healthy = [score(seed, model, has_lesion=False) for seed in seeds_healthy]
    dices = [case.dice for case in sick if case.dice is not None]
    return Report(
        model_sha256=model.model_sha256,
        mean_dice=float(np.mean(dices)) if dices else float("nan"),
        lowest_dice=min(dices, default=float("nan")),
        healthy_clear=sum(case.found_ml == 0 for case in healthy),
        healthy=len(healthy),
        cases=(*sick, *healthy),
    )


def score(seed: int, model: LoadedModel, *, has_lesion: bool) -> CaseScore:
    """Segment the varied case of one seed."""
    case = varied_case(seed, has_lesion=has_lesion)
    (mask,) = predict(volumes_of(case, model.profile), model)
    one_ml = voxel_ml(case.affine)
    return CaseScore(
        seed=seed,
        truth_ml=round(int(case.truth.sum()) * one_ml, 3),
        found_ml=round(int(mask.sum()) * one_ml, 3),
        dice=round(dice(mask, case.truth), 4) if has_lesion else None,
    )


def evaluate_validation() -> Report:
    """As :func:`evaluate`, on the phantoms that the profile's numbers may be tuned on."""
    return evaluate(
        [seed for seed in VALIDATION_SEEDS if not is_healthy(seed)],
        [seed for seed in VALIDATION_SEEDS if is_healthy(seed)],
    )


def main() -> None:
    """Parse the command line, measure and print."""
    parser = HelpfulParser(prog="infra.training.evaluate", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--validation", action="store_true", help="use the validation seeds")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = evaluate_validation() if options.validation else evaluate()
    print(json.dumps(asdict(report), indent=2) if options.json else as_text(report))


def as_text(report: Report) -> str:
    """The report as a table."""
    lines = ["   seed   truth ml   found ml   Dice"]
    for case in report.cases:
        value = "  -  " if case.dice is None else f"{case.dice:.3f}"
        lines.append(f"{case.seed:>7} {case.truth_ml:>10.2f} {case.found_ml:>10.2f}  {value}")
    lines.append(
        f"mean Dice {report.mean_dice:.3f}, lowest {report.lowest_dice:.3f}; "
        f"{report.healthy_clear} of {report.healthy} healthy without a tumour"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
