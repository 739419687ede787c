"""Folders of cases::

CASES/<case>/<role>/…        the DICOM files of the series, or
CASES/<case>/<role>.nii.gz   its volume (.nii, .nrrd, .mha as well)
CASES/<case>/truth.nii.gz    integers: 0, or the Segment Number of the profile
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.errors import FixConfigurationError

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
TRUTH = "truth"


def find_cases(folder: Path, roles: Sequence[str]) -> list[Path]:
    """Every case below ``folder``, by name.

    Raises
    ------
    FixConfigurationError
        ``cases``: there is none, or one of them is not complete.
    """
    found = sorted(path for path in folder.glob("*") if path.is_dir() and path.name[0] != ".")
    if not found:
        raise _wrong(f"There is no case in {folder}.", roles)
    for case in found:
        for name in (*roles, TRUTH):
            if image_of(case, name) is None and not (name != TRUTH and (case / name).is_dir()):
                raise _wrong(f"The case {case.name!r} has no {name}.", roles)
    return found


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
