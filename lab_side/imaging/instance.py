"""One DICOM file of a single-frame MR image: its header and its pixels.

Only the attributes below are read, so free text about the patient (Patient Comments,
Additional Patient History, private elements) never enters the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from common.durable import disk_error
from common.errors import SeriesRefusedError
from lab_side.imaging.elements import ElementReader

PATIENT_AND_STUDY = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""What a SEG shares with its sources (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2), without free text."""

SERIES_AND_EQUIPMENT = (
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "Laterality",
    "BodyPartExamined",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "DeviceSerialNumber",
    "InstitutionName",
    "StationName",
    "AcquisitionDate",
    "AcquisitionTime",
)

IMAGE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "ImageType",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)

ACQUISITION = (
    "AcquisitionDateTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "EchoTime",
    "ContrastBolusAgent",
)
"""By which a series' role is checked."""

PIXELS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelData",
)

_KEYWORDS = [*PATIENT_AND_STUDY, *SERIES_AND_EQUIPMENT, *ACQUISITION, *IMAGE, *PIXELS]

_PLAIN_LITTLE_ENDIAN = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
)

_MULTI_FRAME_MR = (
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.3",
    "1.2.840.10008.5.1.4.1.1.4.4",
)
"""Enhanced MR, Enhanced MR Color and Legacy Converted Enhanced MR Image Storage."""


def read_instances(paths: Sequence[Path]) -> list[Dataset]:
    """Read the attributes named above of the files of one series.

    Returns
    -------
    In the order of ``paths``, Pixel Data included but not yet decoded. Elements with the same
    value may be one object in several of them: replace elements, do not change them.

    Raises
    ------
    SeriesRefusedError
        ``unreadable-instance``: not a DICOM file, or a damaged one.
    LocalDiskError
        A file cannot be read from the disk.
    """
    reader = ElementReader(_KEYWORDS)
    return [_read_instance(path, reader) for path in paths]


def _read_instance(path: Path, reader: ElementReader) -> Dataset:
    try:
        data = path.read_bytes()
        # Values of a wrong form are checked where they matter; pydicom would quote them in
        # warnings.
        with disable_value_validation():
            return reader.read(data) or _read_by_pydicom(data)
    except OSError as error:
        raise disk_error("A downloaded instance cannot be read", error) from None
    except Exception:
        # The original text may quote a patient's attribute, so it is not passed on.
        raise SeriesRefusedError(
            "A file of the series is not a readable DICOM instance.",
            code="unreadable-instance",
            remedy="Send the series to Orthanc again; the stored copy is damaged.",
        ) from None


def _read_by_pydicom(data: bytes) -> Dataset:
    tags: list[Any] = [*_KEYWORDS]
    dataset = pydicom.dcmread(BytesIO(data), specific_tags=tags)
    # It decodes on first use, so all are touched here, where damage has one name.
    for _ in dataset:
        pass
    return dataset


def check_instance(header: Dataset) -> None:
    """Check that this is one greyscale MR slice with a place in space.

    Raises
    ------
    SeriesRefusedError
        ``not-mr``, ``multiframe``, ``localizer``, ``missing-pixel-data``,
        ``not-greyscale``, ``no-uid``, ``no-frame-of-reference``, ``no-position`` or
        ``no-pixel-spacing``.
    """
    if header.get("Modality") != "MR":
        raise SeriesRefusedError("The series is not MR.", code="not-mr")
    if header.get("SOPClassUID") in _MULTI_FRAME_MR or int(header.get("NumberOfFrames") or 1) > 1:
        raise SeriesRefusedError(
            "The series is an enhanced multi-frame MR, which is not supported.",
            code="multiframe",
            remedy="Send the study as classic single-frame MR (most scanners and PACS can).",
        )
    if "LOCALIZER" in (header.get("ImageType") or ()):
        raise SeriesRefusedError(
            "The series holds localizer images.",
            code="localizer",
            remedy="Submit the diagnostic series, not the scout.",
        )
    if "PixelData" not in header:
        raise SeriesRefusedError(
            "An instance of the series has no pixel data, or its file is cut off.",
            code="missing-pixel-data",
        )
    samples, photometric = header.get("SamplesPerPixel"), header.get("PhotometricInterpretation")
    if samples != 1 or photometric != "MONOCHROME2":
        raise SeriesRefusedError(
            "The images are not plain greyscale (MONOCHROME2).", code="not-greyscale"
        )
    _check_place(header)


def _check_place(header: Dataset) -> None:
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        if not header.get(keyword):
            raise SeriesRefusedError(f"An instance has no {keyword}.", code="no-uid")
    if not header.get("FrameOfReferenceUID"):
        raise SeriesRefusedError(
            "An instance has no Frame of Reference UID.", code="no-frame-of-reference"
        )
    for keyword, length in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6)):
        if len(header.get(keyword) or ()) != length:
            raise SeriesRefusedError(f"An instance has no {keyword}.", code="no-position")
    spacing = header.get("PixelSpacing") or ()
    if len(spacing) != 2 or not all(float(value) > 0 for value in spacing):
        raise SeriesRefusedError("An instance has no Pixel Spacing.", code="no-pixel-spacing")


def take_pixels(dataset: Dataset, into: NDArray[np.float32]) -> None:
    """Decode the pixels, apply the slice's own rescale, and drop Pixel Data from ``dataset``.

    Parameters
    ----------
    into:
        float32 [rows, columns]: is given the values in the units of Rescale Slope and Intercept
        (PS3.3 C.11.1.1.2).

    Raises
    ------
    SeriesRefusedError
        ``unreadable-instance`` (Pixel Data of a wrong length, values that are not finite) or
        ``compressed-unreadable``.
    """
    into[:] = _stored_values(dataset)
    del dataset.PixelData
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope is not None and slope != 1:
        into *= np.float32(slope)
    if intercept is not None and intercept != 0:
        into += np.float32(intercept)
    if not np.isfinite(into).all():
        raise SeriesRefusedError(
            "The pixel values of the series are not finite numbers.", code="unreadable-instance"
        )


def _stored_values(dataset: Dataset) -> NDArray[Any]:
    bits = int(dataset.get("BitsAllocated") or 0)
    if dataset.file_meta.TransferSyntaxUID not in _PLAIN_LITTLE_ENDIAN or bits not in (8, 16, 32):
        return _decoded_by_pydicom(dataset)
    kind = "i" if dataset.get("PixelRepresentation") == 1 else "u"
    count = int(dataset.Rows) * int(dataset.Columns)
    if len(dataset.PixelData) < count * bits // 8:
        raise SeriesRefusedError(
            "An instance has less pixel data than its size says.", code="unreadable-instance"
        )
    values = np.frombuffer(dataset.PixelData, dtype=f"<{kind}{bits // 8}", count=count)
    unused = bits - int(dataset.get("BitsStored") or bits)
    if unused:
        # Old scanners keep overlays in the unused high bits: shift them out, keep the sign.
        values = (values << unused) >> unused
    return values.reshape(int(dataset.Rows), int(dataset.Columns))


def _decoded_by_pydicom(dataset: Dataset) -> NDArray[Any]:
    try:
        return dataset.pixel_array
    except Exception:
        raise SeriesRefusedError(
            f"The pixel data cannot be decoded ({dataset.file_meta.TransferSyntaxUID.name}).",
            code="compressed-unreadable",
            remedy="Let Orthanc store or transcode the series as Explicit VR Little Endian.",
        ) from None
