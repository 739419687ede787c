"""A phantom case as a DICOM MR study: four series of one dynamic examination.

Attributes follow MR Image Storage (DICOM PS3.3 A.4, C.8.3.1). Every UID is a function of the
seed, the grid and the patient's name, so that the same call writes the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from infra.phantom.case import REFERENCE_PHASE, Case
from infra.phantom.grid import Matrix

DEFAULT_PATIENT_NAME = "Hong^Gildong=洪^吉童=홍^길동"
_DATE = "20260302"
_PHASE_TIMES = ("101500.00", "101700.00", "101830.00", "102000.00")
_IMPLEMENTATION = UID("2.25.283474640297385094823040913650981284627")


@dataclass(frozen=True)
class SeriesFiles:
    """One written series: its UID and its files, in the order they were written."""

    series_instance_uid: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class StudyFiles:
    """What :func:`write_study` wrote.

    Attributes
    ----------
    series:
        Four series, phase 0 to 3.
    truth:
        ``truth.npz`` with ``mask`` (slices, rows, columns) uint8, slices sorted along the
        normal of Image Orientation (Patient), and ``sop_instance_uids`` (slices,) of the
        reference series in the same order.
    """

    study_instance_uid: str
    series: tuple[SeriesFiles, ...]
    truth: Path


def write_study(
    case: Case, folder: Path, *, patient_name: str = DEFAULT_PATIENT_NAME
) -> StudyFiles:
    """Write a case below ``folder``: ``dicom/*.dcm`` and ``truth.npz``.

    File names are random and files of all series are written in a shuffled order, so neither
    says anything about place or phase. Both depend on the case's seed alone.
    """
    target = folder / "dicom"
    target.mkdir(parents=True, exist_ok=True)
    uids = _Uids(case, patient_name)
    rng = np.random.default_rng([case.seed, 4])
    phases, slices = len(case.phases), case.truth.shape[0]
    paths: list[list[Path]] = [[] for _ in range(phases)]
    shared = _study_attributes(case, uids, patient_name)
    for index in rng.permutation(phases * slices):
        phase, position = divmod(int(index), slices)
        path = target / f"{rng.bytes(6).hex()}.dcm"
        _image(case, shared, uids, phase, position).save_as(path, enforce_file_format=True)
        paths[phase].append(path)
    return StudyFiles(
        study_instance_uid=uids("study"),
        series=tuple(
            SeriesFiles(uids("series", phase), tuple(files)) for phase, files in enumerate(paths)
        ),
        truth=_write_truth(case, uids, folder / "truth.npz"),
    )


class _Uids:
    """UIDs below the UUID root (PS3.5 B.2) that are a function of the case."""

    def __init__(self, case: Case, patient_name: str) -> None:
        digest = hashlib.sha256(case.affine.tobytes())
        digest.update(repr((case.seed, case.has_lesion, case.truth.shape, patient_name)).encode())
        self._case = digest.hexdigest()

    def __call__(self, *what: str | int) -> UID:
        digest = hashlib.sha256(repr((self._case, what)).encode()).digest()
        return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def _study_attributes(case: Case, uids: _Uids, patient_name: str) -> Dataset:
    """Patient, study, frame of reference, equipment and what all images share."""
    shared = Dataset()
    shared.SpecificCharacterSet = "ISO_IR 192"
    shared.PatientName = patient_name
    shared.PatientID = f"PHANTOM-{case.seed}"
    shared.PatientBirthDate = "19700101"
    shared.PatientSex = "F"
    shared.StudyInstanceUID = uids("study")
    shared.StudyID = str(case.seed % 10**8)
    shared.AccessionNumber = f"A{case.seed % 10**8}"
    shared.StudyDate = shared.SeriesDate = shared.AcquisitionDate = shared.ContentDate = _DATE
    shared.StudyTime = "101000.00"
    shared.ReferringPhysicianName = ""
    shared.StudyDescription = "Synthetic breast DCE-MRI"
    shared.Modality = "MR"
    shared.BodyPartExamined = "BREAST"
    if laterality := _laterality(case):
        shared.Laterality = laterality
    shared.PatientPosition = "HFP"
    shared.FrameOfReferenceUID = uids("frame of reference")
    shared.PositionReferenceIndicator = ""
    shared.Manufacturer = "SegRelay phantom"
    shared.ManufacturerModelName = "infra.phantom"
    _add_sequence(shared)
    _add_plane_and_pixel_format(shared, case)
    return shared


def _laterality(case: Case) -> str:
    """Side of a one-sided field of view; empty where both breasts are in it."""
    middle = (np.array([*case.truth.shape[::-1], 1.0]) - [1, 1, 1, 0]) / [2, 2, 2, 1]
    x = float((case.affine @ middle)[0])
    if abs(x) < 30:
        return ""
    return "L" if x > 0 else "R"


def _add_sequence(shared: Dataset) -> None:
    """MR Image module: a fat-suppressed spoiled 3D gradient echo."""
    shared.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
    shared.DerivationDescription = "Computed from a mathematical phantom"
    shared.ScanningSequence = "GR"
    shared.SequenceVariant = "SP"
    shared.ScanOptions = ""
    shared.MRAcquisitionType = "3D"
    shared.RepetitionTime = 5.2
    shared.EchoTime = 2.4
    shared.EchoTrainLength = 1
    shared.FlipAngle = 10
    shared.MagneticFieldStrength = 3
    shared.NumberOfTemporalPositions = len(_PHASE_TIMES)


def _add_plane_and_pixel_format(shared: Dataset, case: Case) -> None:
    """Image Plane and Image Pixel modules, apart from the position."""
    column_mm, row_mm, slice_mm = case.grid.spacing
    along_row, down_column = case.grid.direction[:, 0], case.grid.direction[:, 1]
    shared.ImageOrientationPatient = [_decimal(v) for v in (*along_row, *down_column)]
    shared.PixelSpacing = [_decimal(row_mm), _decimal(column_mm)]
    shared.SliceThickness = _decimal(slice_mm)
    shared.SpacingBetweenSlices = _decimal(slice_mm)
    shared.SamplesPerPixel = 1
    shared.PhotometricInterpretation = "MONOCHROME2"
    _, shared.Rows, shared.Columns = case.truth.shape
    shared.BitsAllocated = 16
    shared.BitsStored = 12
    shared.HighBit = 11
    shared.PixelRepresentation = 0


def _image(case: Case, shared: Dataset, uids: _Uids, phase: int, position: int) -> Dataset:
    """One image with its file meta information; ``position`` is the slice index."""
    image = Dataset()
    image.update(shared)
    pixels = np.ascontiguousarray(case.phases[phase][position], "<u2")
    image.SOPClassUID = MRImageStorage
    image.SOPInstanceUID = uids("image", phase, position)
    image.SeriesInstanceUID = uids("series", phase)
    image.SeriesNumber = 100 + phase
    image.SeriesDescription = f"DCE phase {phase}"
    image.AcquisitionNumber = phase + 1
    image.SeriesTime = image.AcquisitionTime = image.ContentTime = _PHASE_TIMES[phase]
    image.TemporalPositionIdentifier = phase + 1
    if phase > 0:
        image.ContrastBolusAgent = "Simulated gadolinium"
    image.InstanceNumber = position + 1
    place = case.affine @ np.array([0.0, 0.0, position, 1.0])
    image.ImagePositionPatient = [_decimal(v) for v in place[:3]]
    image.WindowCenter = _decimal(float(np.percentile(case.phases[phase][::8], 99.5)) / 2)
    image.WindowWidth = _decimal(max(1.0, 2 * float(image.WindowCenter)))
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.ImplementationClassUID = _IMPLEMENTATION
    return image


def _decimal(value: float) -> str:
    """A Decimal String (VR DS): at most 16 bytes, here to a ten-millionth."""
    text = f"{value:.7f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def order_along_normal(affine: Matrix, slices: int) -> npt.NDArray[np.intp]:
    """Slice indices in the order of growing position along the image normal (PS3.3 C.7.6.2.1.1)."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    ascending = float(normal @ affine[:3, 2]) > 0
    index = np.arange(slices)
    return index if ascending else index[::-1]


def _write_truth(case: Case, uids: _Uids, path: Path) -> Path:
    order = order_along_normal(case.affine, case.truth.shape[0])
    sop_instance_uids = [str(uids("image", REFERENCE_PHASE, int(k))) for k in order]
    np.savez_compressed(path, mask=case.truth[order], sop_instance_uids=np.array(sop_instance_uids))
    return path
