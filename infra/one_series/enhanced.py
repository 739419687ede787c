"""Classic images as the frames of one Enhanced MR instance (PS3.3 A.36.2)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedMRImageStorage

_CLASSIC_ONLY = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "RepetitionTime",
    "EchoTime",
    "EchoTrainLength",
    "TemporalPositionIdentifier",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
)

PER_FRAME = (
    "FrameContentSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "MRImageFrameTypeSequence",
    "MREchoSequence",
)
"""The functional groups that are written."""

SHARED = ("PlaneOrientationSequence", "PixelMeasuresSequence", "MRImageFrameTypeSequence")
"""Those that all frames usually share."""


def joined_frames(slices: Sequence[Dataset]) -> Dataset:
    """One instance with these classic images as its frames, in this order; UIDs are the first's."""
    groups = [functional_groups(item, index) for index, item in enumerate(slices)]
    return joined(slices, groups, SHARED)


def joined(slices: Sequence[Dataset], groups: list[Dataset], shared: Sequence[str]) -> Dataset:
    """One instance with these classic images as its frames."""
    instance = slices[0]
    instance.SOPClassUID = EnhancedMRImageStorage
    instance.NumberOfFrames = len(slices)
    instance.PixelData = b"".join(item.PixelData for item in slices)
    _add_enhanced_modules(instance)
    instance.SharedFunctionalGroupsSequence = [Dataset()]
    for keyword in shared:
        setattr(instance.SharedFunctionalGroupsSequence[0], keyword, groups[0].get(keyword))
        for group in groups:
            delattr(group, keyword)
    instance.PerFrameFunctionalGroupsSequence = groups
    return instance


def functional_groups(classic: Dataset, index: int) -> Dataset:
    """Functional groups of a frame made of a classic image, which is at a place from 0."""
    group = Dataset()
    for keyword in PER_FRAME:
        setattr(group, keyword, [Dataset()])
    content = group.FrameContentSequence[0]
    content.StackID, content.InStackPositionNumber = "1", index + 1
    content.TemporalPositionIndex = int(classic.get("TemporalPositionIdentifier", 1))
    content.DimensionIndexValues = [1, index + 1]
    content.FrameAcquisitionDateTime = "20240105101530"
    group.PlanePositionSequence[0].ImagePositionPatient = classic.ImagePositionPatient
    group.PlaneOrientationSequence[0].ImageOrientationPatient = classic.ImageOrientationPatient
    group.PixelMeasuresSequence[0].PixelSpacing = classic.PixelSpacing
    group.PixelMeasuresSequence[0].SliceThickness = classic.SliceThickness
    scale = group.PixelValueTransformationSequence[0]
    scale.RescaleIntercept = classic.get("RescaleIntercept", "0")
    scale.RescaleSlope, scale.RescaleType = classic.get("RescaleSlope", "1"), "US"
    kind = group.MRImageFrameTypeSequence[0]
    kind.FrameType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    kind.PixelPresentation, kind.VolumetricProperties = "MONOCHROME", "VOLUME"
    kind.VolumeBasedCalculationTechnique = "NONE"
    kind.ComplexImageComponent, kind.AcquisitionContrast = "MAGNITUDE", "T1"
    if "EchoTime" in classic:
        group.MREchoSequence[0].EffectiveEchoTime = float(classic.EchoTime)
    return group


def _add_enhanced_modules(instance: Dataset) -> None:
    for keyword in _CLASSIC_ONLY:
        if keyword in instance:
            delattr(instance, keyword)
    instance.ImageType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    instance.ContentDate, instance.ContentTime = "20240105", "101530"
    instance.AcquisitionDateTime = "20240105101530"
    organisation = Dataset()
    organisation.DimensionOrganizationUID = "2.25.1004"
    instance.DimensionOrganizationSequence = [organisation]
    instance.DimensionIndexSequence = [
        _dimension("StackID"),
        _dimension("InStackPositionNumber"),
    ]


def _dimension(keyword: str) -> Dataset:
    item = Dataset()
    item.DimensionOrganizationUID = "2.25.1004"
    item.DimensionIndexPointer = Tag(keyword)
    item.FunctionalGroupPointer = Tag("FrameContentSequence")
    return item
