"""What the gates of SEG and SR are tried with: kinds of masks, and what is odd in the sources."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from lab_side.imaging.read.series import read_series
from lab_side.imaging.write.dicom_file import write_dataset
from lab_side.imaging.write.seg import build_seg
from tests.support.dicom.dicom_series import SERIES_UID, Edit, make_affine, rotation, write_series
from tests.support.dicom.enhanced_series import write_enhanced
from tests.support.dicom.imaging_cases import blob, make_origin, make_profile

SHAPE = (8, 24, 18)
"""Slices, rows, columns of the series on whose grid the masks are."""

_OBLIQUE = make_affine("sagittal", tilt=rotation(11, -6, 4))
_TYPE_2 = ("StudyID", "AccessionNumber", "StudyTime", "PatientBirthDate", "PatientSex")


@dataclass(frozen=True)
class Made:
    """The files of one case."""

    grid: list[Path]
    """The series on whose grid the SEG is."""
    others: list[Path]
    seg: Path


def masks() -> Mapping[str, list[NDArray[np.uint8]]]:
    """By kind: the mask of each segment, of :data:`SHAPE`."""
    empty = np.zeros(SHAPE, dtype=np.uint8)
    one, full, other = empty.copy(), empty.copy(), empty.copy()
    one[3, 11, 7] = 1
    full[4] = 1
    other[2:6, 4:12, 4:9] = 1
    return {
        "normal": [blob(SHAPE)],
        "empty": [empty],
        "one voxel": [one],
        "full slice": [full],
        "three, one empty, overlapping": [blob(SHAPE), other, empty],
        "three, all empty": [empty, empty, empty],
    }


def plain(dataset: Dataset, _: int) -> None:
    """Nothing odd: a breast phantom is no paired body part; an empty value would be a warning."""
    del dataset.Laterality


def korean_name(dataset: Dataset, index: int) -> None:
    """A name in three scripts, one of them by code extension."""
    plain(dataset, index)
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
    dataset.PatientName = "Hong^Gildong=洪^吉洞=홍^길동"


def empty_type_2(dataset: Dataset, index: int) -> None:
    """Attributes that must be there and may be empty are empty."""
    plain(dataset, index)
    for keyword in _TYPE_2:
        setattr(dataset, keyword, "")
    del dataset.SliceThickness


def no_type_2(dataset: Dataset, index: int) -> None:
    """Attributes that must be there are not."""
    plain(dataset, index)
    for keyword in _TYPE_2:
        delattr(dataset, keyword)


def make_case(
    folder: Path,
    segments: list[NDArray[np.uint8]],
    edit: Edit,
    *,
    enhanced: Container[str] = (),
) -> Made:
    """Write two series and the SEG of ``segments`` on the grid of the first, an oblique one.

    ``enhanced``: which of the series, ``grid`` and ``others``, are enhanced multi-frame MR.
    """
    values = np.full(SHAPE, 100, dtype=np.uint16)
    written = {}
    for name, voxels, affine, uid in (
        ("grid", values, _OBLIQUE, SERIES_UID),
        ("others", values[:5], make_affine("axial"), "2.25.9"),
    ):
        if name in enhanced:
            written[name] = write_enhanced(
                folder / name,
                voxels,
                affine,
                series_uid=uid,
                instances=2,
                edit=lambda instance: edit(instance, 0),
            )
        else:
            written[name] = write_series(folder / name, voxels, affine, series_uid=uid, edit=edit)
    volumes = [read_series(written["grid"]), read_series(written["others"])]
    origin = make_origin(make_profile(segments=len(segments)))
    seg = folder / "seg.dcm"
    write_dataset(build_seg(segments, volumes[0], volumes, origin), seg)
    return Made(written["grid"], written["others"], seg)
