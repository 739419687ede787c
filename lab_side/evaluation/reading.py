"""A case as volumes in memory, and its truth on the grid of the reference series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from numpy.typing import NDArray

from common.errors import SeriesRefusedError
from common.profiles import Profile
from lab_side.evaluation.cases import TRUTH, image_of
from lab_side.imaging.grid import VolumeLike, to_image
from lab_side.imaging.postprocess import Mask
from lab_side.imaging.series import read_series


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels with a place, from a file that is no DICOM series."""

    voxels: NDArray[np.float32]
    """[slices, rows, columns]."""
    affine: NDArray[np.float64]
    """[4, 4] (column index, row index, slice index, 1) to LPS millimetres."""


def read_volumes(case: Path, roles: Sequence[str]) -> dict[str, VolumeLike]:
    """By role.

    Raises
    ------
    SeriesRefusedError
        As ``read_series``, or ``unreadable-image``.
    """
    volumes: dict[str, VolumeLike] = {}
    for role in roles:
        image = image_of(case, role)
        if image is not None:
            volumes[role] = _read_image(image)
        else:
            files = [path for path in (case / role).rglob("*") if path.is_file()]
            volumes[role] = read_series(files)
    return volumes


def read_truth(case: Path, profile: Profile, reference: VolumeLike) -> list[Mask]:
    """One mask per segment on the reference's grid, nearest neighbour where it has another.

    Raises
    ------
    SeriesRefusedError
        ``unreadable-image``, or ``truth-labels``: values that are no Segment Number.
    """
    path = image_of(case, TRUTH)
    image = sitk.Cast(_open(path), sitk.sitkInt32)
    labels = sitk.GetArrayFromImage(
        sitk.Resample(image, to_image(reference), sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    )
    numbers = [segment.number for segment in profile.segments]
    foreign = sorted(set(np.unique(sitk.GetArrayViewFromImage(image)).tolist()) - {0, *numbers})
    if foreign:
        raise SeriesRefusedError(
            f"The truth has the values {foreign}, which are no segments of {profile.name}.",
            code="truth-labels",
            remedy=f"Write 0 and the Segment Numbers {numbers} into it.",
        )
    return [(labels == number).astype(np.uint8) for number in numbers]


def _read_image(path: Path) -> Volume:
    image = sitk.Cast(_open(path), sitk.sitkFloat32)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image), affine)


def _open(path: Path | None) -> sitk.Image:
    try:
        image: sitk.Image = sitk.ReadImage(str(path))
        if image.GetDimension() == 3 and image.GetNumberOfComponentsPerPixel() == 1:
            return image
    except RuntimeError:
        pass
    raise SeriesRefusedError(
        "A file of the case is no readable volume of three dimensions.", code="unreadable-image"
    )
