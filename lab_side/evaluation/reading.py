"""A case as volumes in memory, and its truth on the grid of the reference series."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from numpy.typing import NDArray

from lab_side.evaluation.cases import IMAGE_SUFFIXES, TRUTH, image_of
from lab_side.imaging.read.consistency import check_together
from lab_side.imaging.read.series import SeriesVolume, read_series
from lab_side.imaging.volume.grid import VolumeLike, to_image
from lab_side.imaging.volume.postprocess import Mask
from segrelay.errors import SegRelayError, SeriesRefusedError
from segrelay.profiles import Profile

LEAST_COMMON = 0.5
"""Of a side of the smaller box, or of the truth's volume: less, and it lies elsewhere."""


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels with a place, from a file that is no DICOM series."""

    voxels: NDArray[np.float32]
    """[slices, rows, columns]."""
    affine: NDArray[np.float64]
    """[4, 4] (column index, row index, slice index, 1) to LPS millimetres."""


def read_volumes(case: Path, roles: Sequence[str]) -> dict[str, VolumeLike]:
    """Read a case's volumes, by role.

    Raises
    ------
    SeriesRefusedError
        As ``read_series``, or ``unreadable-image``.
    """
    volumes: dict[str, VolumeLike] = {}
    series: dict[str, SeriesVolume] = {}
    for role in roles:
        image = image_of(case, role)
        if image is not None:
            volumes[role] = _read_image(image)
            continue
        files = [path for path in (case / role).rglob("*") if path.is_file()]
        with _about(f"{role}/ ({len(files)} files)"):
            volumes[role] = series[role] = read_series(files)
    with _about(", ".join(f"{role}/" for role in series)):
        if series:
            check_together(series, is_registered=True)
    _check_places(case, volumes)
    return volumes


def _check_places(case: Path, volumes: Mapping[str, VolumeLike]) -> None:
    """Check that every volume lies where the first one does; scanners' boxes may differ."""
    first, *others = volumes
    low, high = _box(volumes[first])
    for role in others:
        below, above = _box(volumes[role])
        common = np.clip(np.minimum(high, above) - np.maximum(low, below), 0, None)
        smaller = np.minimum(high - low, above - below)
        if (common < LEAST_COMMON * smaller).any():
            names = [_name(case, one) for one in (role, first)]
            raise SeriesRefusedError(
                f"{names[0]} lies elsewhere than {names[1]}: their boxes in millimetres hardly "
                "meet.",
                remedy="Give files of one examination; a conversion may have lost origin or "
                "direction.",
            )


def _box(volume: VolumeLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The corners with the lowest and the highest coordinates, in LPS millimetres."""
    slices, rows, columns = volume.voxels.shape
    ends = [(-0.5, size - 0.5) for size in (columns, rows, slices)]
    corners = np.array([(*corner, 1.0) for corner in product(*ends)]) @ np.asarray(volume.affine).T
    return corners[:, :3].min(axis=0), corners[:, :3].max(axis=0)


def _name(case: Path, role: str) -> str:
    """What holds a role's volume: the file, or the folder."""
    image = image_of(case, role)
    return f"{role}/" if image is None else image.name


@contextlib.contextmanager
def _about(what: str) -> Iterator[None]:
    """Name the files that an error is about."""
    try:
        yield
    except SegRelayError as error:
        error.message = f"{what}: {error.message}"
        raise


def read_truth(case: Path, profile: Profile, reference: VolumeLike) -> list[Mask]:
    """One mask per segment on the reference's grid, nearest neighbour where it has another.

    Raises
    ------
    SeriesRefusedError
        ``unreadable-image``, or ``truth-labels``: values that are no Segment Number, or segments
        that lie outside of the reference.
    """
    path = image_of(case, TRUTH) or case / f"{TRUTH}{IMAGE_SUFFIXES[0]}"
    image = _labels(path)
    labels = sitk.GetArrayFromImage(
        sitk.Resample(image, to_image(reference), sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    )
    numbers = [segment.number for segment in profile.segments]
    foreign = sorted(set(np.unique(sitk.GetArrayViewFromImage(image)).tolist()) - {0, *numbers})
    if foreign:
        raise SeriesRefusedError(
            f"{path.name} has the values {foreign}, which are no segments of {profile.name}.",
            code="truth-labels",
            remedy=f"Write 0 and the Segment Numbers {numbers} into it.",
        )
    whole = np.count_nonzero(sitk.GetArrayViewFromImage(image)) * np.prod(image.GetSpacing())
    inside = np.count_nonzero(labels) * abs(np.linalg.det(np.asarray(reference.affine)[:3, :3]))
    if inside < LEAST_COMMON * whole:
        raise SeriesRefusedError(
            f"{path.name} lies elsewhere than {_name(case, profile.reference_role)}: "
            f"{inside / 1000:.2f} of its {whole / 1000:.2f} ml are within those images.",
            code="truth-labels",
            remedy="Give the truth of this examination; a conversion may have lost origin or "
            "direction.",
        )
    return [(labels == number).astype(np.uint8) for number in numbers]


def _labels(path: Path) -> sitk.Image:
    image = _open(path)
    values = sitk.GetArrayViewFromImage(image)
    if not np.array_equal(values, np.rint(values)):
        raise SeriesRefusedError(
            f"{path.name} has values that are no whole numbers: probabilities are no truth.",
            code="truth-labels",
            remedy="Write 0 and the Segment Numbers into it.",
        )
    labels: sitk.Image = sitk.Cast(image, sitk.sitkInt32)
    return labels


def _read_image(path: Path) -> Volume:
    image = sitk.Cast(_open(path), sitk.sitkFloat32)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image), affine)


def _open(path: Path) -> sitk.Image:
    why = "cannot be read as an image: it is damaged, or of another kind than its name says"
    try:
        image: sitk.Image = sitk.ReadImage(str(path))
        dimensions, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
        if (dimensions, components) == (3, 1):
            return image
        why = f"has {dimensions} dimensions and {components} values a voxel, not 3 and 1"
    except RuntimeError:
        pass
    raise SeriesRefusedError(
        f"{path.name} {why}.",
        code="unreadable-image",
        remedy="Replace the file by a volume of three dimensions (NIfTI, NRRD, MHA).",
    )
