"""Where an enhanced multi-frame image says what a classic one says at its top (PS3.3 C.7.6.16)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from segrelay.dicom.values import value_of

PER_FRAME = "PerFrameFunctionalGroupsSequence"
SHARED = "SharedFunctionalGroupsSequence"

AS_CLASSIC = (
    ("PlanePositionSequence", "ImagePositionPatient", "ImagePositionPatient"),
    ("PlaneOrientationSequence", "ImageOrientationPatient", "ImageOrientationPatient"),
    ("PixelMeasuresSequence", "PixelSpacing", "PixelSpacing"),
    ("PixelMeasuresSequence", "SliceThickness", "SliceThickness"),
    ("PixelValueTransformationSequence", "RescaleSlope", "RescaleSlope"),
    ("PixelValueTransformationSequence", "RescaleIntercept", "RescaleIntercept"),
    ("FrameVOILUTSequence", "WindowCenter", "WindowCenter"),
    ("FrameVOILUTSequence", "WindowWidth", "WindowWidth"),
    ("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier"),
    ("FrameContentSequence", "FrameAcquisitionDateTime", "AcquisitionDateTime"),
    ("MRImageFrameTypeSequence", "FrameType", "ImageType"),
    ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
    ("MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime"),
    ("MRModifierSequence", "InversionTimes", "InversionTime"),
)
"""Functional group, attribute in it, and what a classic image calls it."""


def frame_attributes(
    image: Any, table: Iterable[tuple[str, str, str]] = AS_CLASSIC
) -> Iterator[dict[str, Any]]:
    """For each frame, the attributes that a classic image of that slice would have.

    Parameters
    ----------
    image:
        Anything with ``get(keyword)``: a pydicom Dataset, or tags of Orthanc. Without functional
        groups there are no frames.
    table:
        Which attributes, in the form of :data:`AS_CLASSIC`.
    """
    shared = first_item(image, SHARED)
    for group in _items(image, PER_FRAME):
        found = {}
        for sequence, keyword, classic in table:
            item = first_item(group, sequence) or first_item(shared, sequence)
            value = value_of(item, keyword)
            if value is not None:
                found[classic] = value
        yield found


def first_item(holder: Any, keyword: str) -> Any:
    """The first item of a sequence; an empty one where there is none."""
    items = _items(holder, keyword)
    return items[0] if items else {}


def _items(holder: Any, keyword: str) -> Sequence[Any]:
    """The items of a sequence; none where it is absent, or something else under its name.

    An item that is something else is empty: those after it keep their frames' numbers.
    """
    value = holder.get(keyword)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    return [item if hasattr(item, "get") else {} for item in value]
