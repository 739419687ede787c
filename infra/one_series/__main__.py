"""Rewrite the phases of a study as one series, as many scanners write them.

Every series of the study is a phase, in the order of the Series Numbers; ``--series`` chooses
some. The images keep their pixels and places; of what tells phases apart they keep nothing but
the chosen key. Classic images keep their SOP Instance UIDs.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import generate_uid

from infra.one_series.rewrite import ORDERS, Kind, read_phases, write_as
from segrelay.parts.keys import PHASE_KEYS, PartKey
from segrelay.system.command_line import HelpfulParser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, write the series and report where it is."""
    parser = HelpfulParser(prog="infra.one_series", description=__doc__)
    parser.add_argument("study", type=Path, help="zip file or folder with the series")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; a new one")
    parser.add_argument("--kind", type=Kind, choices=list(Kind), default=Kind.CLASSIC)
    parser.add_argument(
        "--key", type=PartKey, choices=PHASE_KEYS, default=PartKey.TEMPORAL_POSITION
    )
    parser.add_argument("--order", choices=list(ORDERS), default="phase by phase")
    parser.add_argument(
        "--series", type=int, nargs="+", metavar="NUMBER", help="Series Numbers, in phase order"
    )
    options = parser.parse_args(arguments)
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty: give a new folder")
    with tempfile.TemporaryDirectory(prefix="one-series-") as temporary:
        files = study_files(options.study, Path(temporary))
        phases = read_phases(_chosen(_by_number(files), options.series))
        problem = _problem(phases)
        if problem:
            parser.error(problem)
        uid = generate_uid(entropy_srcs=[str(phases[0][0].SeriesInstanceUID), options.kind])
        size = len(phases[0])
        written = write_as(
            options.kind,
            phases,
            options.out,
            key=options.key,
            order=options.order,
            series_uid=uid,
        )
    print(f"{len(written)} files in {options.out}: {len(phases)} phases of {size} images")


def study_files(study: Path, folder: Path) -> list[Path]:
    """The files of a study: below a folder, or unpacked from a zip file into ``folder``."""
    root = study
    if zipfile.is_zipfile(study):
        root = folder
        with zipfile.ZipFile(study) as archive:
            archive.extractall(root)
    return sorted(path for path in root.rglob("*") if path.is_file())


def _by_number(files: Sequence[Path]) -> dict[int, list[Path]]:
    """The files of each MR series, by rising Series Number; what is no such image is left out."""
    found: dict[tuple[int, str], list[Path]] = {}
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        if header.get("Modality") == "MR":
            key = (int(header.get("SeriesNumber") or 0), str(header.SeriesInstanceUID))
            found.setdefault(key, []).append(path)
    return {number: found[number, uid] for number, uid in sorted(found)}


def _chosen(series: dict[int, list[Path]], numbers: Sequence[int] | None) -> list[list[Path]]:
    return [series.get(number, []) for number in (numbers or series)]


def _problem(phases: Sequence[Sequence[Dataset]]) -> str:
    """Why these cannot be one series; empty where they can."""
    counts = [len(images) for images in phases]
    if len(phases) < 2 or 0 in counts:
        return "fewer than two series with MR images: give a study with a series for each phase"
    if len(set(counts)) > 1:
        return f"the series hold {counts} images: choose phases with --series"
    images = [image for phase in phases for image in phase]
    if any("NumberOfFrames" in image for image in images):
        return "the study is multi-frame: give classic images"
    if any(image.file_meta.TransferSyntaxUID.is_compressed for image in images):
        return (
            "the images are compressed: decompress them before, with dcmdrle, dcmdjpeg or gdcmconv"
        )
    return ""


if __name__ == "__main__":
    main()
