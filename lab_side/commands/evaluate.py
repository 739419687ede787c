"""``lab-agent evaluate``: how well a profile does on cases whose truth is known."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_side.commands.console import EXIT_OK, add_json, show, table
from lab_side.commands.profile import installed, load, open_worker
from lab_side.completion import complete_profiles
from lab_side.evaluation.cases import find_cases
from lab_side.evaluation.summary import Mean, mean_of
from lab_side.settings.config import ModelsConfig, unknown_profile
from lab_side.settings.loading import load_part
from segrelay.errors import SegRelayError

if TYPE_CHECKING:
    from lab_side.worker.protocol import SegmentScore

WORST_CASE = "worst-case.png"

Scores = Mapping[str, Sequence["SegmentScore"]]
"""By case."""

_FIGURES: Mapping[str, Callable[[SegmentScore], float | None]] = {
    "dice": lambda score: score.dice,
    "hd95_mm": lambda score: score.hd95_mm,
    "volume_error_ml": lambda score: score.found_ml - score.truth_ml,
    "volume_error_share": lambda score: (
        (score.found_ml - score.truth_ml) / score.truth_ml if score.truth_ml else None
    ),
}
_HEADING = ("CASE", "SEGMENT", "DICE", "HD95 mm", "FOUND ml", "TRUTH ml", "ERROR ml")
_MEANS_HEADING = ("SEGMENT", "FIGURE", "CASES", "MEAN", "95 % INTERVAL")


def add_to(commands: Any) -> None:
    """Add the command to the parser of ``lab-agent``."""
    command = commands.add_parser(
        "evaluate",
        help="segment cases whose truth is known, and compare",
        description="In CASES one folder for each case, in it one folder of DICOM files or one "
        "NIfTI, NRRD or MHA file for each role of the profile (t1c.nii.gz), and truth.nii.gz with "
        "0 or a Segment Number in each voxel.",
    )
    complete_profiles(command.add_argument("--profile", required=True, metavar="NAME"))
    command.add_argument("--cases", required=True, type=Path, metavar="DIR")
    command.add_argument(
        "--montage",
        type=Path,
        default=Path(WORST_CASE),
        metavar="FILE",
        help=f"picture of the case with the lowest Dice (default: {WORST_CASE})",
    )
    add_json(command)
    command.set_defaults(command=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    config = load_part(ModelsConfig, options.config)
    scores = _scores(config, options.profile, options.cases, options.montage.absolute())
    document = as_json(options.profile, scores, options.montage)
    show(options, document, as_text(scores, options.montage))
    return EXIT_OK


def _scores(config: ModelsConfig, name: str, folder: Path, montage: Path) -> Scores:
    """Evaluate every case, and the worst one again for the picture."""
    from lab_side.progress import progress_bar
    from lab_side.worker.protocol import EvaluateRequest

    item = installed(config, name)
    if item.profile is None or item.problem is not None:
        raise item.problem or unknown_profile(name, config.profiles_dir)
    cases = find_cases(folder.absolute(), item.profile.roles)
    scores = {}
    with open_worker(config) as worker:
        load(config, worker, item)
        with progress_bar() as progress:
            for case in cases:
                try:
                    request = EvaluateRequest(profile=name, case=case)
                    scores[case.name] = worker.evaluate(request, progress).segments
                except SegRelayError as error:
                    error.message = f"{case.name}: {error.message}"
                    raise
            worst = folder.absolute() / worst_case(scores)
            worker.evaluate(EvaluateRequest(profile=name, case=worst, montage=montage), progress)
    return scores


def worst_case(scores: Scores) -> str:
    """The case with the lowest mean Dice over its segments; the first of several."""
    return min(scores, key=lambda case: sum(score.dice for score in scores[case]))


def means_of(scores: Scores) -> dict[str, dict[str, Mean | None]]:
    """Means by segment's label, then by figure."""
    by_segment: dict[str, list[SegmentScore]] = {}
    for segments in scores.values():
        for score in segments:
            by_segment.setdefault(score.label, []).append(score)
    return {
        label: {name: mean_of([take(item) for item in items]) for name, take in _FIGURES.items()}
        for label, items in by_segment.items()
    }


def as_json(profile: str, scores: Scores, montage: Path) -> dict[str, Any]:
    """All cases and means, as JSON for programs."""
    return {
        "profile": profile,
        "cases": {
            case: [item.model_dump() for item in segments] for case, segments in scores.items()
        },
        "means": {
            label: {name: mean and asdict(mean) for name, mean in figures.items()}
            for label, figures in means_of(scores).items()
        },
        "worst_case": worst_case(scores),
        "montage": str(montage),
    }


def as_text(scores: Scores, montage: Path) -> str:
    """Two tables, and where the picture is."""
    rows = [
        (case, item.label, f"{item.dice:.3f}", _number(item.hd95_mm, 1), *_volumes(item))
        for case, segments in scores.items()
        for item in segments
    ]
    return "\n\n".join(
        [
            table(_HEADING, rows),
            table(_MEANS_HEADING, _mean_rows(scores)),
            f"The worst case, {worst_case(scores)}, is in {montage}: red what was found, "
            "green the truth.",
        ]
    )


def _volumes(item: SegmentScore) -> tuple[str, str, str]:
    error = item.found_ml - item.truth_ml
    return f"{item.found_ml:.2f}", f"{item.truth_ml:.2f}", f"{error:+.2f}"


def _mean_rows(scores: Scores) -> Iterable[Sequence[str]]:
    for label, figures in means_of(scores).items():
        for name, mean in figures.items():
            if mean is None:
                yield label, name, "0", "-", "-"
                continue
            interval = "-" if mean.low is None else f"{mean.low:.3f} to {mean.high:.3f}"
            yield label, name, str(mean.count), f"{mean.value:.3f}", interval


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
