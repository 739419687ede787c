"""Small synthetic Enhanced MR instances (PS3.3 A.36.2), whole or with chosen defects."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from infra.one_series.enhanced import SHARED, functional_groups, joined, joined_frames
from tests.support.dicom.dicom_series import (
    FRAME_OF_REFERENCE_UID,
    SERIES_UID,
    STUDY_UID,
    Edit,
    make_instance,
)

Whole = Callable[[Dataset], None]
"""Changes an instance before it is written."""


def write_enhanced(
    folder: Path,
    voxels: NDArray[np.uint16],
    affine: NDArray[np.float64],
    *,
    series_uid: str = SERIES_UID,
    instances: int = 1,
    shared: Sequence[str] = SHARED,
    edit_frame: Edit | None = None,
    edit: Whole | None = None,
    seed: int = 0,
) -> list[Path]:
    """Write a series as Enhanced MR, its frames in a shuffled order, and return the paths.

    Parameters
    ----------
    voxels:
        uint16 [slices, rows, columns].
    affine:
        [4, 4] (column, row, slice index, 1) to LPS millimetres.
    instances:
        Over which the frames are spread.
    shared:
        Functional groups that stand once for all frames, as the first frame has them.
    edit_frame:
        Changes the functional groups of a frame, all its own yet; told its index along the stack.
    edit:
        Changes a finished instance.
    seed:
        Of the shuffle, and with ``series_uid`` of the instance UIDs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = list(range(len(voxels)))
    random.Random(seed).shuffle(order)
    paths = []
    for number in range(instances):
        chosen = order[number::instances]
        instance = make_enhanced(voxels, affine, chosen, shared=shared, edit_frame=edit_frame)
        instance.SeriesInstanceUID = series_uid
        instance.SOPInstanceUID = generate_uid(
            entropy_srcs=["enhanced", series_uid, str(seed), str(number)]
        )
        instance.InstanceNumber = number + 1
        if edit is not None:
            edit(instance)
        instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
        instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
        paths.append(folder / f"enhanced-{number}.dcm")
        instance.save_as(paths[-1], enforce_file_format=True)
    return paths


def make_enhanced(
    voxels: NDArray[np.uint16],
    affine: NDArray[np.float64],
    order: Sequence[int],
    *,
    shared: Sequence[str] = SHARED,
    edit_frame: Edit | None = None,
) -> Dataset:
    """One instance with the slices of ``order`` as its frames; UIDs of instance and series not."""
    classic = [make_instance(voxels[index], affine, index, len(voxels)) for index in order]
    groups = []
    for frame, index in zip(classic, order, strict=True):
        groups.append(functional_groups(frame, index))
        if edit_frame is not None:
            edit_frame(groups[-1], index)
    instance = joined(classic, groups, shared)
    instance.StudyInstanceUID = STUDY_UID
    instance.FrameOfReferenceUID = FRAME_OF_REFERENCE_UID
    return instance


def enhance(classic: Sequence[Path], path: Path, *, seed: int = 0) -> Path:
    """Write the images of a classic series as one enhanced instance, a series of its own."""
    slices: list[Dataset] = [pydicom.dcmread(one) for one in classic]
    random.Random(seed).shuffle(slices)
    instance = joined_frames(slices)
    instance.SeriesInstanceUID = generate_uid(entropy_srcs=["series", instance.SeriesInstanceUID])
    instance.SOPInstanceUID = generate_uid(entropy_srcs=["image", instance.SeriesInstanceUID])
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    instance.save_as(path, enforce_file_format=True)
    return path
