"""Folders of cases::

CASES/<case>/<role>/…        the DICOM files of the series, or
CASES/<case>/<role>.nii.gz   its volume (.nii, .nrrd, .mha as well)
CASES/<case>/truth.nii.gz    integers: 0, or the Segment Number of the profile
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segrelay.errors import FixConfigurationError
from segrelay.system.nearest import did_you_mean

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
TRUTH = "truth"

_SHOWN = 8
"""Files of a case that are named."""


def find_cases(folder: Path, roles: Sequence[str]) -> list[Path]:
    """Every case below ``folder``, by name.

    Raises
    ------
    FixConfigurationError
        ``cases``: there is none, or one of them is not complete.
    """
    if not folder.is_dir():
        what = "is a file, not a folder of cases" if folder.exists() else "does not exist"
        raise _wrong(f"{folder} {what}.", roles)
    found = sorted(path for path in folder.glob("*") if path.is_dir() and path.name[0] != ".")
    if not found:
        raise _wrong(f"There is no case in {folder}: it holds no folders.", roles)
    for case in found:
        for name in (*roles, TRUTH):
            if image_of(case, name) is None and not (name != TRUTH and (case / name).is_dir()):
                raise _wrong(f"The case {case.name!r} has no {name}{_beside(case, name)}", roles)
    return found


def _beside(case: Path, name: str) -> str:
    """What lies there in its place, as the end of a sentence."""
    files = sorted(path.name for path in case.iterdir())
    if name == TRUTH and any(file.lower().startswith(TRUTH) for file in files):
        odd = next(file for file in files if file.lower().startswith(TRUTH))
        return (
            f": {odd} is none of truth{', truth'.join(IMAGE_SUFFIXES)}. A DICOM SEG is converted "
            "by dcmqi's segimage2itkimage."
        )
    there = f"; in it are: {', '.join(files[:_SHOWN]) or 'no files'}."
    return did_you_mean(f"{name}{IMAGE_SUFFIXES[0]}", files) or there


def image_of(case: Path, name: str) -> Path | None:
    """The volume of this name; None where there is none."""
    paths = (case / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _wrong(message: str, roles: Sequence[str]) -> FixConfigurationError:
    return FixConfigurationError(
        message,
        code="cases",
        remedy="Give a folder with one folder for each case, in it "
        f"{', '.join(roles)} (folders of DICOM files, or NIfTI, NRRD or MHA files) and "
        "truth.nii.gz.",
    )
