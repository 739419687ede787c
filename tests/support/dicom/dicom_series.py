"""Small synthetic MR series with a known place in space, whole or with chosen defects."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

Edit = Callable[[Dataset, int], None]
"""Changes one instance before it is written; told its index along the stack."""

STUDY_UID = "2.25.1001"
FRAME_OF_REFERENCE_UID = "2.25.1002"
SERIES_UID = "2.25.1003"

_EAST, _SOUTH, _UP = np.eye(3)
"""LPS: towards the patient's Left, Posterior and head (Superior)."""

ORIENTATIONS: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = {
    "axial": (_EAST, _SOUTH, _UP),
    "axial-head-to-foot": (_EAST, _SOUTH, -_UP),
    "axial-row-reversed": (-_EAST, _SOUTH, _UP),
    "axial-upside-down": (_EAST, -_SOUTH, _UP),
    "sagittal": (_SOUTH, -_UP, _EAST),
    "sagittal-left-to-right": (_SOUTH, -_UP, -_EAST),
    "coronal": (_EAST, -_UP, _SOUTH),
    "coronal-back-to-front": (_EAST, -_UP, -_SOUTH),
}
"""Directions of a row, of a column, and from one file to the next."""


def rotation(x_degrees: float, y_degrees: float, z_degrees: float) -> NDArray[np.float64]:
    """Rotation about x, then y, then z."""
    result = np.eye(3)
    for axis, degrees in enumerate((x_degrees, y_degrees, z_degrees)):
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.eye(3)
        first, second = [other for other in range(3) if other != axis]
        turn[first, first] = turn[second, second] = cosine
        turn[first, second], turn[second, first] = -sine, sine
        result = turn @ result
    return result


def make_affine(
    orientation: str = "axial",
    *,
    spacing: tuple[float, float, float] = (0.8, 0.8, 2.5),
    origin: tuple[float, float, float] = (-31.0, 17.5, -40.0),
    tilt: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """[4, 4] (column, row, slice index, 1) to LPS; ``spacing`` in that order, millimetres."""
    affine = np.eye(4)
    for axis, direction in enumerate(ORIENTATIONS[orientation]):
        turned = direction if tilt is None else tilt @ direction
        affine[:3, axis] = turned * spacing[axis]
    affine[:3, 3] = origin
    return affine


def centres(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """[slices, rows, columns, 3] LPS millimetres of the voxel centres."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    placed: NDArray[np.float64] = index[..., ::-1] @ affine[:3, :3].T + affine[:3, 3]
    return placed


def write_series(
    folder: Path,
    voxels: NDArray[np.uint16],
    affine: NDArray[np.float64],
    *,
    series_uid: str = SERIES_UID,
    study_uid: str = STUDY_UID,
    frame_of_reference_uid: str = FRAME_OF_REFERENCE_UID,
    edit: Edit | None = None,
    seed: int = 0,
) -> list[Path]:
    """Write one file per slice and return their paths in a shuffled order.

    Parameters
    ----------
    voxels:
        uint16 [slices, rows, columns].
    affine:
        [4, 4] (column, row, slice index, 1) to LPS millimetres.
    seed:
        Of the shuffle, and with ``series_uid`` of the instance UIDs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, pixels in enumerate(voxels):
        dataset = make_instance(pixels, affine, index, len(voxels))
        dataset.SeriesInstanceUID = series_uid
        dataset.StudyInstanceUID = study_uid
        dataset.FrameOfReferenceUID = frame_of_reference_uid
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[series_uid, str(seed), str(index)])
        if edit is not None:
            edit(dataset, index)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        paths.append(folder / f"{index:04d}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    random.Random(seed).shuffle(paths)
    return paths


def make_instance(
    pixels: NDArray[np.uint16], affine: NDArray[np.float64], index: int, count: int
) -> Dataset:
    """One MR Image Storage instance (PS3.3 A.4) with every attribute that it must have."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    _add_patient_and_study(dataset)
    _add_series(dataset)
    columns = affine[:3, 0] / np.linalg.norm(affine[:3, 0])
    rows = affine[:3, 1] / np.linalg.norm(affine[:3, 1])
    position = affine[:3, 3] + index * affine[:3, 2]
    dataset.SOPClassUID = MRImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.InstanceNumber = count - index
    dataset.ImagePositionPatient = [f"{value:.9g}" for value in position]
    dataset.ImageOrientationPatient = [f"{value:.9g}" for value in (*columns, *rows)]
    dataset.PixelSpacing = [
        f"{np.linalg.norm(affine[:3, 1]):.9g}",
        f"{np.linalg.norm(affine[:3, 0]):.9g}",
    ]
    dataset.SliceThickness = "1.5"
    _add_pixels(dataset, pixels)
    return dataset


def _add_patient_and_study(dataset: Dataset) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Phantom^Synthetic"
    dataset.PatientID = "PHANTOM"
    dataset.PatientBirthDate = "19700101"
    dataset.PatientSex = "F"
    dataset.StudyDate = "20240105"
    dataset.StudyTime = "101500"
    dataset.StudyID = "1"
    dataset.AccessionNumber = "A1"
    dataset.ReferringPhysicianName = ""


def _add_series(dataset: Dataset) -> None:
    dataset.Modality = "MR"
    dataset.SeriesNumber = 3
    dataset.Laterality = ""
    dataset.PositionReferenceIndicator = ""
    dataset.PatientPosition = "HFS"
    dataset.Manufacturer = "Phantom Works"
    dataset.ScanningSequence = "GR"
    dataset.SequenceVariant = "NONE"
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = "3D"
    dataset.RepetitionTime = "5"
    dataset.EchoTime = "2"
    dataset.EchoTrainLength = 1


def _add_pixels(dataset: Dataset, pixels: NDArray[np.uint16]) -> None:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.astype("<u2").tobytes()
