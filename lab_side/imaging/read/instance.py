"""One DICOM file of an MR image, classic or enhanced: its header and its pixels.

Only the attributes below are read, so free text about the patient (Patient Comments,
Additional Patient History, private elements) never enters the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    EnhancedMRColorImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
)

from lab_side.imaging.read.elements import ElementReader
from lab_side.imaging.read.header_forms import character_set_of, check_uid, settle_forms
from segrelay.dicom.body_regions import ATTRIBUTES
from segrelay.dicom.values import check_forms, wrong_value
from segrelay.errors import SeriesRefusedError
from segrelay.system.durable import disk_error
from segrelay.voxels.file_format import damaged_file, plain_file
from segrelay.voxels.pixel_form import (
    FLOAT_PIXEL_ATTRIBUTES,
    PIXEL_ATTRIBUTES,
    check_greyscale,
    check_integers,
)
from segrelay.voxels.stored import StoredImage, decode_stored

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
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)

ACQUISITION = (
    "AcquisitionDateTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "EchoTime",
    "ContrastBolusAgent",
    "ContrastBolusAgentSequence",
)
"""By which a series' role is checked."""

PIXELS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "RescaleSlope",
    "RescaleIntercept",
    *FLOAT_PIXEL_ATTRIBUTES,
    *PIXEL_ATTRIBUTES,
)

REGION = tuple(
    keyword for keyword in ATTRIBUTES if keyword not in (*PATIENT_AND_STUDY, *SERIES_AND_EQUIPMENT)
)
"""By which the body region is checked; no SEG takes them."""

_KEYWORDS = [*PATIENT_AND_STUDY, *SERIES_AND_EQUIPMENT, *ACQUISITION, *REGION, *IMAGE, *PIXELS]

_SIZES = (
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
"""Numbers that an instance's pixels cannot be decoded without."""

_RESCALE = ("RescaleSlope", "RescaleIntercept")

_KIND = tuple(
    Tag(keyword) for keyword in ("Modality", "SOPClassUID", *FLOAT_PIXEL_ATTRIBUTES, *_SIZES)
)
"""Elements that :func:`_check_kind` looks at."""

_IMAGE = tuple(
    Tag(keyword)
    for keyword in (
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "Rows",
        "Columns",
        "SOPClassUID",
        "SeriesInstanceUID",
        "StudyInstanceUID",
    )
)
"""Elements that :func:`_check_image` looks at."""

_SLICE = tuple(
    Tag(keyword)
    for keyword in (
        "ImageType",
        "FrameOfReferenceUID",
        "ImageOrientationPatient",
        "PixelSpacing",
        *_RESCALE,
    )
)
"""Elements that :func:`_check_slice` looks at."""

_OTHER_MULTI_FRAME_MR = (EnhancedMRColorImageStorage, LegacyConvertedEnhancedMRImageStorage)


def read_instances(paths: Sequence[Path]) -> list[Dataset]:
    """Read the attributes named above of the files of one series.

    Returns
    -------
    In the order of ``paths``, Pixel Data included but not yet decoded. Elements with the same
    value may be one object in several of them: replace elements, do not change them.

    Raises
    ------
    SeriesRefusedError
        ``unreadable-instance``: not a DICOM file, or a damaged one; ``image-too-large``: one
        that would inflate beyond all bounds.
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
            found = reader.read(data)
            return _read_odd(plain_file(data), reader) if found is None else found
    except OSError as error:
        raise disk_error("A downloaded instance cannot be read", error) from None
    except SeriesRefusedError:
        raise
    except Exception:
        # The original text may quote a patient's attribute, so it is not passed on.
        raise damaged_file() from None


def _read_odd(plain: bytes, reader: ElementReader) -> Dataset:
    """Read a file without preamble, or a deflated one, of usual form behind that."""
    found = reader.read(plain)
    if found is not None:
        return found
    tags: list[Any] = [*_KEYWORDS]
    dataset = pydicom.dcmread(BytesIO(plain), specific_tags=tags)
    settle_forms(dataset, character_set_of(dataset))
    return dataset


def is_enhanced(instance: Dataset) -> bool:
    """Whether its frames and their attributes are in functional groups (PS3.3 A.36.2)."""
    return bool(instance.get("SOPClassUID") == EnhancedMRImageStorage)


def check_instances(instances: Sequence[Dataset]) -> None:
    """Check that these are greyscale MR images of a kind that can be read.

    Raises
    ------
    SeriesRefusedError
        ``not-mr``, ``multiframe``, ``pixel-depth``, ``missing-pixel-data``, ``not-greyscale``,
        ``inverted-greyscale``, ``no-uid`` or ``header-value``: a number or an identifier is in a
        wrong form.
    """
    _once_for_equal_elements(instances, _KIND, _check_kind)
    # Before other elements: what is cut off lacks those as well.
    if not all("PixelData" in instance for instance in instances):
        raise SeriesRefusedError(
            "An instance of the series has no pixel data, or its file is cut off.",
            code="missing-pixel-data",
        )
    _once_for_equal_elements(instances, _IMAGE, _check_image)
    for instance in instances:
        _check_needed_uid(instance, "SOPInstanceUID")


def check_slices(headers: Sequence[Dataset]) -> None:
    """Check that these slices, classic instances or frames, are diagnostic and lie in space.

    Raises
    ------
    SeriesRefusedError
        ``localizer``, ``no-position``, ``no-pixel-spacing`` or ``header-value``.
    """
    _once_for_equal_elements(headers, _SLICE, _check_slice)
    for header in headers:
        check_forms(header, ("ImagePositionPatient",))
        if not header.get("ImagePositionPatient"):
            raise SeriesRefusedError("An instance has no ImagePositionPatient.", code="no-position")


def _once_for_equal_elements(
    datasets: Sequence[Dataset], tags: Sequence[BaseTag], check: Callable[[Dataset], None]
) -> None:
    """Run ``check``, which reads these tags alone, once per distinct set of elements."""
    checked: dict[tuple[int, ...], list[Any]] = {}
    for dataset in datasets:
        elements = [dataset.get_item(tag) if tag in dataset else None for tag in tags]
        identity = tuple(map(id, elements))
        if identity not in checked:
            check(dataset)
            # Held here, so that no other element is given the same id meanwhile.
            checked[identity] = elements


def _check_kind(instance: Dataset) -> None:
    if instance.get("Modality") != "MR":
        raise SeriesRefusedError("The series is not MR.", code="not-mr")
    check_forms(instance, _SIZES)
    has_frames = int(instance.get("NumberOfFrames") or 1) > 1 and not is_enhanced(instance)
    if has_frames or instance.get("SOPClassUID") in _OTHER_MULTI_FRAME_MR:
        raise SeriesRefusedError(
            "The series is a multi-frame image of another kind than Enhanced MR.",
            code="multiframe",
            remedy="Send the study as Enhanced MR or as classic single-frame MR (most scanners "
            "and PACS can).",
        )
    check_integers(instance)


def _check_image(instance: Dataset) -> None:
    check_greyscale(instance)
    for keyword in ("Rows", "Columns"):
        if not instance.get(keyword):
            raise wrong_value(keyword, "is missing or empty")
    for keyword in ("SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID"):
        _check_needed_uid(instance, keyword)
    if UID(instance.SOPClassUID).type != "SOP Class":
        raise wrong_value("SOPClassUID", "names no class of objects that the standard defines")


def _check_needed_uid(instance: Dataset, keyword: str) -> None:
    if not instance.get(keyword):
        raise SeriesRefusedError(f"An instance has no {keyword}.", code="no-uid")
    check_uid(instance, keyword)


def _check_slice(header: Dataset) -> None:
    if "LOCALIZER" in (header.get("ImageType") or ()):
        raise SeriesRefusedError(
            "The series holds localizer images.",
            code="localizer",
            remedy="Submit the diagnostic series, not the scout; of a series with a scout inside "
            "choose the volume: on the site's page, or by hand as ID:0.",
        )
    if header.get("FrameOfReferenceUID"):
        check_uid(header, "FrameOfReferenceUID")
    check_forms(header, ("ImageOrientationPatient", "PixelSpacing", *_RESCALE))
    if not header.get("ImageOrientationPatient"):
        raise SeriesRefusedError("An instance has no ImageOrientationPatient.", code="no-position")
    if not header.get("PixelSpacing"):
        raise SeriesRefusedError("An instance has no Pixel Spacing.", code="no-pixel-spacing")


def take_pixels(instance: Dataset) -> StoredImage:
    """Decode the pixels, and drop Pixel Data from ``instance``.

    Raises
    ------
    SeriesRefusedError
        With a code of :func:`segrelay.voxels.stored.decode_stored`.
    """
    image = decode_stored(instance)
    del instance.PixelData
    return image


def rescale(
    stored: NDArray[Any],
    padded: NDArray[np.bool_] | None,
    header: Dataset,
    into: NDArray[np.float32],
) -> None:
    """Apply one slice's own rescale; Slope and Intercept are not of the series (PS3.3 C.11.1.1.2).

    Parameters
    ----------
    stored:
        [rows, columns] as stored.
    padded:
        [rows, columns] where a voxel is padding: it becomes 0, as what lies outside the field of
        view. None: nowhere.
    into:
        float32 [rows, columns]: is given the values in the units of the rescale.

    Raises
    ------
    SeriesRefusedError
        ``unreadable-instance``: values that are not finite.
    """
    into[:] = stored
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    # A slope of 0 would leave nothing of the image: some writers mean "none" by it.
    if slope is not None and slope not in (0, 1):
        into *= np.float32(slope)
    if intercept is not None and intercept != 0:
        into += np.float32(intercept)
    if padded is not None:
        into[padded] = 0.0
    if not np.isfinite(into).all():
        raise SeriesRefusedError(
            "The pixel values of the series are not finite numbers.", code="unreadable-instance"
        )
