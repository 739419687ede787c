"""The DICOM SEG of one job.

BINARY, Explicit VR Little Endian, empty frames left out: the encoding that every viewer
reads. Mask slices and source headers are in the same order, by rising distance along the
slice normal: highdicom pairs them by their place in the list and takes frame positions and
spacing from the headers.

The same job on the same machine gives the same bytes: UIDs come from the job (see
``uids``), and every date and time from the job's own time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import highdicom as hd
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as DicomCode
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import DT

from lab_side.imaging.read.series import SeriesVolume
from lab_side.imaging.volume.postprocess import Mask
from lab_side.imaging.write.uids import derive_uid
from segrelay.profiles import Code, Profile, Segment

MANUFACTURER = "SegRelay"
CONTENT_DESCRIPTION = "AI result. NOT FOR CLINICAL USE"
"""Of a SEG of which there is nothing more to say."""

FOR_NO_PATIENT = "NOT FOR PATIENTS"
SYNTHETIC = "SYNTHETIC TRAINING"
CONTRADICTED = "INPUT CONTRADICTS PROFILE"
"""What a viewer shows in the names of a series (VR LO, at most 64 characters)."""

SERIES_DESCRIPTION = "AI SEG (research)"
ARTIFICIAL_INTELLIGENCE = DicomCode("123110", "DCM", "Artificial Intelligence")
"""PS3.16 CID 7162 Algorithm Family."""

SERIES_NUMBER_OFFSET = 1000
"""Added to the reference series' number, so that the SEG sorts behind the scanner's own."""

MOST_SERIES_NUMBER = 2**31 - 1 - 2 * SERIES_NUMBER_OFFSET
"""Beyond it there is no room in an integer string (PS3.5 6.2) for the SEG and its report."""


@dataclass(frozen=True, kw_only=True)
class SegOrigin:
    """Which job and model a SEG comes from."""

    job_key: str
    created_at: datetime
    """Time zone aware; its clock time becomes every date and time of the SEG."""
    profile: Profile
    model_sha256: str
    software_version: str
    is_contradicted: bool = False
    """Whether the input contradicts the profile, confirmed by a person or not."""


@disable_value_validation()
def build_seg(
    masks: Sequence[Mask],
    reference: SeriesVolume,
    inputs: Sequence[SeriesVolume],
    origin: SegOrigin,
) -> Dataset:
    """Make the DICOM SEG (PS3.3 A.51) of the masks.

    Parameters
    ----------
    masks:
        One per segment of the profile, in its order: uint8 [slices, rows, columns] on the
        grid of ``reference``.
    reference:
        The series whose slices the SEG covers.
    inputs:
        All input series in channel order, ``reference`` among them.
    """
    part, empty = _filled_slices(masks)
    stacked = np.stack([mask[part] for mask in masks], axis=-1)
    headers = _single_frames(reference)[part]
    name = headers[0].PatientName
    headers[0] = _nameless(headers[0])
    seeds = _seeds(origin, reference, inputs)
    seg = hd.seg.Segmentation(
        source_images=headers,
        pixel_array=stacked,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(item, origin) for item in origin.profile.segments],
        series_instance_uid=derive_uid("series", seeds),
        series_number=_series_number(reference),
        sop_instance_uid=derive_uid("instance", seeds),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=origin.profile.name,
        software_versions=_versions(origin),
        device_serial_number=origin.model_sha256[:16],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label=origin.profile.content_label,
        content_description=content_description(origin),
        omit_empty_frames=not empty,
        workers=0,
        series_description=_series_description(origin),
        contributing_equipment=[_equipment(origin)],
        specific_character_set=None,
    )
    if "SpecificCharacterSet" in headers[0]:
        # highdicom knows no code extensions, with which Korean and Japanese names are written.
        seg.SpecificCharacterSet = headers[0].SpecificCharacterSet
    seg.PatientName = name
    seg.BodyPartExamined = origin.profile.body_part_examined
    _refer_to_frames(seg, reference)
    _reference_all(seg, reference, inputs)
    _set_times(seg, origin.created_at)
    _set_dimension_organisation(seg, derive_uid("dimension", seeds))
    return seg


def _filled_slices(masks: Sequence[Mask]) -> tuple[slice, bool]:
    """From the first slice with a segment to the last, and whether there is none.

    highdicom spends as much on the slices around them, whose frames are left out.
    """
    filled = np.flatnonzero(np.any([mask.any(axis=(1, 2)) for mask in masks], axis=0))
    if not len(filled):
        # A SEG needs a frame (PS3.3 C.7.6.6), so an empty mask is one slice of zeros.
        middle = len(masks[0]) // 2
        return slice(middle, middle + 1), True
    return slice(int(filled[0]), int(filled[-1]) + 1), False


def _nameless(header: Dataset) -> Dataset:
    # highdicom quotes names of an unusual form in its warnings, which end in logs.
    # Dataset(header) would share its elements with the header, and take the name from both.
    copied = Dataset()
    copied.update(header)
    del copied.PatientName
    copied.PatientName = ""
    return copied


def _single_frames(reference: SeriesVolume) -> list[Dataset]:
    """The headers in slice order, those of frames as classic instances with UIDs of their own.

    highdicom takes one enhanced instance at most, with one orientation and one pixel spacing that
    all its frames share; of classic instances it asks neither.
    """
    headers = list(reference.headers)
    for place, frame in enumerate(reference.frame_numbers):
        if frame is not None:
            stand_in = Dataset()
            stand_in.update(headers[place])
            del stand_in.SOPClassUID, stand_in.SOPInstanceUID
            stand_in.SOPClassUID = MRImageStorage
            stand_in.SOPInstanceUID = _stand_in_uid(place)
            headers[place] = stand_in
    return headers


def _stand_in_uid(place: int) -> str:
    return f"2.25.{place}"


def _refer_to_frames(seg: Dataset, reference: SeriesVolume) -> None:
    """Name frames where their stand-ins are named (PS3.3 10.3, Image SOP Instance Reference)."""
    frames = {
        _stand_in_uid(place): (reference.headers[place], frame)
        for place, frame in enumerate(reference.frame_numbers)
        if frame is not None
    }
    if not frames:
        return
    for groups in seg.PerFrameFunctionalGroupsSequence:
        for image in groups.DerivationImageSequence[0].SourceImageSequence:
            # Segments on one slice share their item: it may be named already.
            if image.ReferencedSOPInstanceUID in frames:
                header, image.ReferencedFrameNumber = frames[image.ReferencedSOPInstanceUID]
                image.update(_reference_to(header))
    seg.SourceImageSequence = _references([header for header, _ in frames.values()])
    if reference.part:
        _name_frames(seg.SourceImageSequence, reference)


def _name_frames(references: Iterable[Dataset], reference: SeriesVolume) -> None:
    """Name the frames of the volume: without them a reference is to all (PS3.3 10.3)."""
    for image in references:
        image.ReferencedFrameNumber = sorted(
            frame
            for uid, frame in zip(reference.sop_instance_uids, reference.frame_numbers, strict=True)
            if uid == image.ReferencedSOPInstanceUID and frame is not None
        )


def _seeds(
    origin: SegOrigin, reference: SeriesVolume, inputs: Sequence[SeriesVolume]
) -> tuple[str, ...]:
    profile = origin.profile
    # Only what changes the mask or its meaning: a reworded title must not make a new SEG.
    options = profile.model_dump(
        mode="json",
        include={
            "name",
            "reference_role",
            "network",
            "preprocessing",
            "inference",
            "postprocessing",
            "segments",
        },
    )
    # These came later: a job that is computed as before keeps its UIDs.
    if not profile.inference.flips:
        del options["inference"]["flips"]
    if profile.preprocessing.skull_strip is None:
        del options["preprocessing"]["skull_strip"]
    return (
        origin.job_key,
        reference.study_uid,
        *(f"{volume.series_uid} {volume.part}".rstrip() for volume in inputs),
        origin.model_sha256,
        json.dumps(options, sort_keys=True),
    )


def _series_number(reference: SeriesVolume) -> int:
    """Scanners count from 1: a number below that, or beyond all numbers, is as none."""
    number = int(reference.headers[0].get("SeriesNumber") or 0)
    return SERIES_NUMBER_OFFSET + (number if 0 < number <= MOST_SERIES_NUMBER else 0)


def content_description(origin: SegOrigin) -> str:
    """Content Description (0070,0081), an LO of at most 64 characters."""
    mark = _mark(origin.profile)
    if not mark:
        more = ". Input contradicts the profile" if origin.is_contradicted else ""
        return CONTENT_DESCRIPTION + more
    if origin.is_contradicted:
        return f"{mark}. NOT FOR CLINICAL USE. Input contradicts"
    return f"{mark}. {CONTENT_DESCRIPTION}"


def _mark(profile: Profile) -> str:
    """What the names of a series say of such a profile; the graver, where there are two."""
    if not profile.for_patients:
        return FOR_NO_PATIENT
    return SYNTHETIC if profile.trained_on_synthetic else ""


def _series_description(origin: SegOrigin) -> str:
    marks = [
        *filter(None, [_mark(origin.profile)]),
        *([CONTRADICTED] if origin.is_contradicted else []),
    ]
    mark = f"{', '.join(marks)}: " if marks else ""
    labels = ", ".join(segment.label for segment in origin.profile.segments)
    return f"{mark}{SERIES_DESCRIPTION}: {labels}"[:64]


def _code(code: Code) -> DicomCode:
    return DicomCode(code.value, code.scheme, code.meaning)


def _describe(segment: Segment, origin: SegOrigin) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.label,
        segmented_property_category=_code(segment.category),
        segmented_property_type=_code(segment.type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=origin.profile.name,
            family=ARTIFICIAL_INTELLIGENCE,
            version=origin.profile.version,
            source=MANUFACTURER,
            parameters={"model_sha256": origin.model_sha256, "job_id": origin.job_key},
        ),
        anatomic_regions=[_code(segment.region)],
        display_color=hd.color.CIELabColor.from_rgb(*segment.colour),
    )


def _versions(origin: SegOrigin) -> str:
    return f"{origin.software_version} (model {origin.profile.version})"


def _equipment(origin: SegOrigin) -> hd.ContributingEquipment:
    return hd.ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=origin.profile.name,
        software_versions=_versions(origin),
        contribution_datetime=origin.created_at,
        contribution_description="Segmented by a neural network, not checked by a person",
    )


def _reference_all(seg: Dataset, reference: SeriesVolume, inputs: Sequence[SeriesVolume]) -> None:
    """Name every input instance in the Referenced Series Sequence (PS3.3 C.12.2.1).

    A series has one item: of several of its volumes the reference is named, else the first.
    """
    items = []
    named = {volume.series_uid: volume for volume in (*inputs[::-1], reference)}
    for uid in dict.fromkeys(volume.series_uid for volume in inputs):
        volume = named[uid]
        item = Dataset()
        item.SeriesInstanceUID = volume.series_uid
        item.ReferencedInstanceSequence = _references(volume.headers)
        items.append(item)
    seg.ReferencedSeriesSequence = items


def _references(headers: Iterable[Dataset]) -> list[Dataset]:
    """One item for each instance, in the order of its first slice."""
    named = {str(header.SOPInstanceUID): _reference_to(header) for header in headers}
    return list(named.values())


def _reference_to(header: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return reference


def _set_times(seg: Dataset, created_at: datetime) -> None:
    date, time = created_at.strftime("%Y%m%d"), created_at.strftime("%H%M%S")
    for keyword in ("SeriesDate", "ContentDate", "InstanceCreationDate"):
        setattr(seg, keyword, date)
    for keyword in ("SeriesTime", "ContentTime", "InstanceCreationTime"):
        setattr(seg, keyword, time)
    for item in seg.ContributingEquipmentSequence:
        if item.PurposeOfReferenceCodeSequence[0].CodeValue != codes.DCM.AcquisitionEquipment.value:
            item.ContributionDateTime = DT(created_at)


def _set_dimension_organisation(seg: Dataset, uid: str) -> None:
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
