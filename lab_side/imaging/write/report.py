"""The measurements of a SEG as a DICOM SR: TID 1500, Comprehensive 3D SR (PS3.16, A.35.13).

It is made of the SEG alone, of the one that is stored: whatever bytes stand in Orthanc under
the SEG's UID, the report belongs to them. One group for each segment, with its volume and its
longest diameter; a segment without a voxel has a volume of 0 and no diameter.

As the SEG, the same job gives the same bytes: UIDs come from the SEG's UID, and every date and
time from the SEG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom.sr as sr
from highdicom.sr import CodedConcept
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from lab_side.imaging.write.dicom_file import write_dataset
from lab_side.imaging.write.seg import SERIES_DESCRIPTION
from lab_side.imaging.write.uids import derive_uid
from segrelay.manifest import SegmentMeasurement

DIAMETER = CodedConcept("L0JK", "IBSI", "Maximum 3D Diameter")
"""Image Biomarker Standardisation Initiative: the greatest distance between two voxels."""
MILLILITRE = CodedConcept("ml", "UCUM", "milliliter")

REPORT_NUMBER_OFFSET = 1
"""Added to the SEG's series number."""

_PATIENT_AND_STUDY = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)


@dataclass(frozen=True, kw_only=True)
class WrittenReport:
    """A report on the disk."""

    sop_instance_uid: str
    series_instance_uid: str
    sha256: str
    """Of the file's bytes."""
    size_bytes: int


def write_report(
    seg: Dataset, measurements: Sequence[SegmentMeasurement], path: Path
) -> WrittenReport:
    """Make the SR and write it so that it survives a crash.

    Raises
    ------
    LocalDiskError
        The disk refused the write.
    """
    report = build_report(seg, measurements)
    stored = write_dataset(report, path)
    return WrittenReport(
        sop_instance_uid=str(report.SOPInstanceUID),
        series_instance_uid=str(report.SeriesInstanceUID),
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
    )


@disable_value_validation()
def build_report(seg: Dataset, measurements: Sequence[SegmentMeasurement]) -> Dataset:
    """Make the measurement report (DICOM SR, TID 1500).

    Parameters
    ----------
    seg:
        The SEG, with or without its pixels.
    measurements:
        One for each segment, in order.
    """
    by_number = {item.number: item for item in measurements}
    groups = [
        _group(seg, segment, by_number[int(segment.SegmentNumber)])
        for segment in seg.SegmentSequence
    ]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(seg)),
        procedure_reported=CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=groups,
    )
    report = sr.Comprehensive3DSR(
        evidence=_evidence(seg),
        content=content[0],
        series_instance_uid=derive_uid("report-series", (str(seg.SOPInstanceUID),)),
        series_number=int(seg.SeriesNumber) + REPORT_NUMBER_OFFSET,
        sop_instance_uid=report_uid(str(seg.SOPInstanceUID)),
        instance_number=1,
        manufacturer=str(seg.Manufacturer),
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    _carry_over(seg, report)
    return report


def report_uid(seg_uid: str) -> str:
    """SOP Instance UID of the report that belongs to a SEG."""
    return derive_uid("report", (seg_uid,))


def _observer(seg: Dataset) -> sr.ObserverContext:
    return sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=derive_uid("device", (str(seg.DeviceSerialNumber),)),
            name=str(seg.ManufacturerModelName),
            manufacturer_name=str(seg.Manufacturer),
            model_name=str(seg.ManufacturerModelName),
            serial_number=str(seg.DeviceSerialNumber),
        ),
    )


def _group(
    seg: Dataset, segment: Dataset, measured: SegmentMeasurement
) -> (
    sr.MeasurementsAndQualitativeEvaluations | sr.VolumetricROIMeasurementsAndQualitativeEvaluations
):
    number, seg_uid = int(segment.SegmentNumber), str(seg.SOPInstanceUID)
    said: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=derive_uid("tracking", (seg_uid, str(number))),
            identifier=str(segment.SegmentLabel),
        ),
        "finding_category": _code(segment.SegmentedPropertyCategoryCodeSequence[0]),
        "finding_type": _code(segment.SegmentedPropertyTypeCodeSequence[0]),
        "finding_sites": [
            sr.FindingSite(_code(region)) for region in segment.get("AnatomicRegionSequence", [])
        ],
        "algorithm_id": _algorithm(segment),
        "measurements": _measurements(measured),
    }
    if measured.voxels:
        referenced = sr.ReferencedSegment(
            sop_class_uid=str(seg.SOPClassUID),
            sop_instance_uid=seg_uid,
            segment_number=number,
            source_series=sr.SourceSeriesForSegmentation(_source_series(seg)),
        )
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=referenced, **said
        )
    # A segment without frames cannot be referenced: the group names a source image instead.
    class_uid, uid, frames = _source_image(seg)
    image = sr.SourceImageForMeasurementGroup(class_uid, uid, referenced_frame_numbers=frames)
    return sr.MeasurementsAndQualitativeEvaluations(source_images=[image], **said)


def _measurements(measured: SegmentMeasurement) -> list[sr.Measurement]:
    found = [sr.Measurement(codes.SCT.Volume, measured.volume_ml, MILLILITRE)]
    if measured.longest_diameter_mm is not None:
        diameter = measured.longest_diameter_mm
        found.append(sr.Measurement(DIAMETER, diameter, codes.UCUM.Millimeter))
    return found


def _algorithm(segment: Dataset) -> sr.AlgorithmIdentification:
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    return sr.AlgorithmIdentification(
        name=str(algorithm.AlgorithmName),
        version=str(algorithm.AlgorithmVersion),
        parameters=str(algorithm.AlgorithmParameters).split(","),
    )


def _code(item: Dataset) -> CodedConcept:
    return CodedConcept(
        str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning)
    )


def _source_image(seg: Dataset) -> tuple[str, str, list[int] | None]:
    """An image that a frame was derived from: SOP class, instance, frame (PS3.3 C.7.6.16.2.6)."""
    derived = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    source = derived.SourceImageSequence[0]
    number = source.get("ReferencedFrameNumber")
    frames = None if number is None else [int(number)]
    return str(source.ReferencedSOPClassUID), str(source.ReferencedSOPInstanceUID), frames


def _source_series(seg: Dataset) -> str:
    """The series on whose grid the SEG lies."""
    _, wanted, _ = _source_image(seg)
    return next(
        str(series.SeriesInstanceUID)
        for series in seg.ReferencedSeriesSequence
        if any(str(i.ReferencedSOPInstanceUID) == wanted for i in series.ReferencedInstanceSequence)
    )


def _evidence(seg: Dataset) -> list[Dataset]:
    """The SEG and every image that it names, as far as they are named."""
    shared = _shared(seg)
    evidence = [_instance(shared, str(seg.SeriesInstanceUID), seg.SOPClassUID, seg.SOPInstanceUID)]
    for series in seg.ReferencedSeriesSequence:
        for image in series.ReferencedInstanceSequence:
            evidence.append(
                _instance(
                    shared,
                    str(series.SeriesInstanceUID),
                    image.ReferencedSOPClassUID,
                    image.ReferencedSOPInstanceUID,
                )
            )
    return evidence


def _shared(seg: Dataset) -> Dataset:
    # highdicom quotes names of an unusual form in its warnings, which end in logs; and it knows
    # no code extensions. Both are carried over afterwards.
    shared = Dataset()
    for keyword in _PATIENT_AND_STUDY:
        if keyword in seg:
            setattr(shared, keyword, seg.get(keyword))
    shared.PatientName = ""
    return shared


def _instance(shared: Dataset, series_uid: str, class_uid: str, instance_uid: str) -> Dataset:
    instance = Dataset()
    instance.update(shared)
    instance.SeriesInstanceUID = series_uid
    instance.SOPClassUID = class_uid
    instance.SOPInstanceUID = instance_uid
    return instance


def _carry_over(seg: Dataset, report: Dataset) -> None:
    for keyword in (
        "SpecificCharacterSet",
        "PatientName",
        "ManufacturerModelName",
        "SoftwareVersions",
        "DeviceSerialNumber",
        "ContributingEquipmentSequence",
        "SeriesDate",
        "SeriesTime",
        "ContentDate",
        "ContentTime",
        "InstanceCreationDate",
        "InstanceCreationTime",
    ):
        if keyword in seg:
            report[keyword] = seg[keyword]
    # PS3.3 C.17.2: a report has no Content Description; this says why it is not final.
    report.CompletionFlagDescription = str(seg.get("ContentDescription", ""))
    # What the SEG's own description says before its name is said of the report too.
    mark, is_ours, _ = str(seg.get("SeriesDescription", "")).partition(SERIES_DESCRIPTION)
    report.SeriesDescription = f"{mark if is_ours else ''}AI measurements (research)"[:64]
