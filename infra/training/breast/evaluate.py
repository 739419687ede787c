"""Measure a breast network on synthetic patients, through the product's imaging pipeline.

``python -m infra.training.breast.evaluate`` prints one line per case and a summary; ``--profile``
names another profile of the same four phases, e.g. ``lab_side/profiles/demo``; ``--validation``
measures the patients by which networks and the profile's numbers are chosen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from infra.phantom.patient.case import PatientCase, make_patient_case
from infra.training.breast.crops import (
    HELD_OUT_HEALTHY_SEEDS,
    HELD_OUT_LESION_SEEDS,
    VALIDATION_SEEDS,
    is_healthy,
)
from infra.training.breast.train import PROFILE_FOLDER
from infra.training.cases import Phase
from lab_side.evaluation.overlap import dice
from lab_side.imaging.pipeline import predict
from lab_side.imaging.write.measure import voxel_ml
from lab_side.models.loaded import LoadedModel, load_model
from segrelay.profiles import Profile
from segrelay.system.command_line import HelpfulParser

_SEEN_ML = 0.2  # less of a tumour inside the field of view is no tumour to be found


@dataclass(frozen=True)
class PatientScore:
    """One examination: volumes in ml; ``dice`` is None where there is no tumour.

    ``false_findings``: parts of the mask that touch no malignant growth.
    """

    seed: int
    truth_ml: float
    found_ml: float
    dice: float | None
    false_findings: int


@dataclass(frozen=True)
class PatientReport:
    """Figures of the evaluated examinations.

    Attributes
    ----------
    mean_dice, lowest_dice:
        Over those with a tumour in the field of view; a missed tumour counts 0.
    false_findings:
        Of those with a tumour, together.
    healthy_clear:
        Healthy patients without any tumour reported.
    """

    model_sha256: str
    mean_dice: float
    median_dice: float
    lowest_dice: float
    false_findings: int
    healthy_clear: int
    healthy: int
    cases: tuple[PatientScore, ...]


def evaluate(
    seeds_lesion: Iterable[int] = HELD_OUT_LESION_SEEDS,
    seeds_healthy: Iterable[int] = HELD_OUT_HEALTHY_SEEDS,
    *,
    profile_folder: Path = PROFILE_FOLDER,
) -> PatientReport:
    """Segment synthetic patients and compare with their truth on the scanner's grid.

    Raises
    ------
    FixConfigurationError
        The profile or its weights cannot be loaded.
    """
    model = load_model(profile_folder, device="cpu")
    sick = [score(make_patient_case(seed), model) for seed in seeds_lesion]
    healthy = [score(make_patient_case(seed, has_lesion=False), model) for seed in seeds_healthy]
    dices = [case.dice for case in sick if case.dice is not None]
    return PatientReport(
        model_sha256=model.model_sha256,
        mean_dice=float(np.mean(dices)) if dices else float("nan"),
        median_dice=float(np.median(dices)) if dices else float("nan"),
        lowest_dice=min(dices, default=float("nan")),
        false_findings=sum(case.false_findings for case in sick),
        healthy_clear=sum(case.found_ml == 0 for case in healthy),
        healthy=len(healthy),
        cases=(*sick, *healthy),
    )


def score(case: PatientCase, model: LoadedModel) -> PatientScore:
    """Segment one examination."""
    (mask,) = predict(volumes_of(case, model.profile), model)
    one_ml = voxel_ml(case.affine)
    truth_ml = int(case.truth.sum()) * one_ml
    return PatientScore(
        seed=case.seed,
        truth_ml=round(truth_ml, 3),
        found_ml=round(int(mask.sum()) * one_ml, 3),
        dice=round(dice(mask, case.truth), 4) if truth_ml >= _SEEN_ML else None,
        false_findings=false_findings(mask, case),
    )


def volumes_of(case: PatientCase, profile: Profile) -> dict[str, Phase]:
    """The phases by the profile's roles, in order."""
    return {
        role: Phase(phase, case.affine)
        for role, phase in zip(profile.roles, case.phases, strict=True)
    }


def false_findings(mask: npt.NDArray[np.uint8], case: PatientCase) -> int:
    """Connected parts of a mask that touch neither the primary tumour nor a further focus."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3), bool))
    malignant = (case.truth > 0) | (case.ignored > 0)
    return count - len(set(np.unique(labels[malignant]).tolist()) - {0})


def evaluate_validation(profile_folder: Path = PROFILE_FOLDER) -> PatientReport:
    """As :func:`evaluate`, on the patients by which networks and numbers may be chosen."""
    return evaluate(
        [seed for seed in VALIDATION_SEEDS if not is_healthy(seed)],
        [seed for seed in VALIDATION_SEEDS if is_healthy(seed)],
        profile_folder=profile_folder,
    )


def main() -> None:
    """Parse the command line, measure and print."""
    parser = HelpfulParser(prog="infra.training.breast.evaluate", description=__doc__)
    parser.add_argument("--profile", type=Path, default=PROFILE_FOLDER)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--validation", action="store_true", help="use the validation seeds")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.validation:
        report = evaluate_validation(options.profile)
    else:
        report = evaluate(profile_folder=options.profile)
    print(json.dumps(asdict(report), indent=2) if options.json else as_text(report))


def as_text(report: PatientReport) -> str:
    """The report as a table."""
    lines = ["    seed   truth ml   found ml   Dice   false findings"]
    for case in report.cases:
        value = "  -  " if case.dice is None else f"{case.dice:.3f}"
        lines.append(
            f"{case.seed:>8} {case.truth_ml:>10.2f} {case.found_ml:>10.2f}  {value}"
            f" {case.false_findings:>8}"
        )
    lines.append(
        f"mean Dice {report.mean_dice:.3f}, median {report.median_dice:.3f}, lowest "
        f"{report.lowest_dice:.3f}, {report.false_findings} false findings; "
        f"{report.healthy_clear} of {report.healthy} healthy without a tumour"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
