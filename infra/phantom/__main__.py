"""``python -m infra.phantom --seed N --out DIR``: write a phantom study as DICOM."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from infra.phantom.case import make_case, scanner_grid
from infra.phantom.dicom import DEFAULT_PATIENT_NAME, write_study
from infra.phantom.grid import ORIENTATIONS, tilted
from segrelay.system.command_line import HelpfulParser

OBLIQUE_DEGREES = 12.0


def main() -> None:
    """Parse the command line, write the study and say where it is."""
    parser = HelpfulParser(prog="infra.phantom", description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="any number >= 0")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--healthy", action="store_true", help="no lesion")
    parser.add_argument("--oblique", action="store_true", help="tilt about two axes by 12 degrees")
    parser.add_argument("--orientation", choices=sorted(ORIENTATIONS), default="axial")
    parser.add_argument("--patient-name", default=DEFAULT_PATIENT_NAME)
    options = parser.parse_args()
    direction = ORIENTATIONS[options.orientation]
    if options.oblique:
        direction = tilted(direction, OBLIQUE_DEGREES, OBLIQUE_DEGREES)
    grid = partial(scanner_grid, direction=direction)
    case = make_case(options.seed, has_lesion=not options.healthy, grid=grid)
    study = write_study(case, options.out, patient_name=options.patient_name)
    files = sum(len(series.paths) for series in study.series)
    print(f"{files} files of 4 series in {options.out / 'dicom'}, truth in {study.truth}")


if __name__ == "__main__":
    main()
