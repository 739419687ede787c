"""What is known of one image of a series: where it lies, and what it may differ in from others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from segrelay.dicom.acquisition import acquired_at, moment_of, moment_of_both
from segrelay.dicom.functional_groups import AS_CLASSIC, frame_attributes
from segrelay.dicom.values import NUMBERS, Number, WrongFormError, read_numbers
from segrelay.errors import SeriesRefusedError

_OF_FRAMES = (
    *AS_CLASSIC,
    ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
    ("FrameContentSequence", "FrameReferenceDateTime", "ContentDateTime"),
    ("FrameContentSequence", "StackID", "StackID"),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset", "TemporalPositionTimeOffset"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "TriggerTime"),
    ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue"),
)

_COUNTS = {
    "AcquisitionNumber": Number("Acquisition Number", "IS"),
    "InstanceNumber": Number("Instance Number", "IS"),
    "SmallestImagePixelValue": Number("Smallest Image Pixel Value", "DS"),
    "NumberOfTemporalPositions": Number("Number of Temporal Positions", "IS"),
    "EchoNumbers": Number("Echo Number(s)", "IS"),
    "NumberOfFrames": Number("Number of Frames", "IS"),
}

_MS = 1000.0
"""In a second."""


@dataclass(frozen=True, kw_only=True)
class PartImage:
    """One image of a series: a classic instance, or a frame of an enhanced one.

    None and empty text stand for what the file does not say, or not in a readable form.
    """

    instance: str
    """Names its instance: Orthanc's id, or its SOP Instance UID."""
    frame: int | None = None
    """Which frame of the instance it is, from 1; None: a classic instance."""
    position: tuple[float, ...] | None = None
    """Image Position (Patient): 3 numbers, LPS millimetres."""
    orientation: tuple[float, ...] | None = None
    """Image Orientation (Patient): 6 direction cosines, of a row, then of a column."""
    matrix: tuple[float, ...] = ()
    """Rows and columns."""
    spacing: tuple[float, ...] = ()
    """Pixel Spacing: between rows, between columns; millimetres."""
    stack: str = ""
    """Stack ID of a frame (PS3.3 C.7.6.16.2.2)."""
    image_type: tuple[str, ...] = ()
    """Image Type in capital letters."""
    echo_ms: float | None = None
    echo_number: int | None = None
    """Echo Number(s) of a classic image."""
    b_value: float | None = None
    """Diffusion b-value, s/mm2."""
    is_rescaled: bool | None = None
    """Whether Rescale Slope and Intercept change the values; None: it has neither."""
    temporal_position: int | None = None
    """Temporal Position Identifier, or Index of a frame."""
    positions_declared: int | None = None
    """Number of Temporal Positions."""
    trigger_ms: float | None = None
    """Temporal Position Time Offset of a frame, else Trigger Time."""
    acquired: datetime | None = None
    content: datetime | None = None
    acquisition_number: int | None = None
    number: int | None = None
    """Instance Number; of a frame, its place in the instance."""
    lowest: float | None = None
    """Smallest Image Pixel Value after rescaling; where absent, the Rescale Intercept."""


def images_of(instance: str, tags: Mapping[str, Any]) -> list[PartImage]:
    """The images of an instance: itself, or each of its frames.

    Parameters
    ----------
    instance:
        Its name in the answer.
    tags:
        By keyword, as Orthanc's simplified tags: text, several values joined by backslashes;
        sequences are lists of the same.

    Raises
    ------
    SeriesRefusedError
        ``unreadable-instance``: it has functional groups, but not one for each frame.
    """
    frames = [
        _image(instance, {**tags, **found}, frame)
        for frame, found in enumerate(frame_attributes(tags, _OF_FRAMES), start=1)
    ]
    declared = _whole(tags, "NumberOfFrames")
    if frames and declared is not None and declared != len(frames):
        raise SeriesRefusedError(
            f"An instance of the series describes {len(frames)} of its {declared} frames.",
            code="unreadable-instance",
            remedy="Send the series to Orthanc again; the stored copy may be damaged.",
        )
    return frames or [_image(instance, tags, None)]


def _image(instance: str, tags: Mapping[str, Any], frame: int | None) -> PartImage:
    trigger, offset = _first(tags, "TriggerTime"), _first(tags, "TemporalPositionTimeOffset")
    text = partial(_text, tags)
    return PartImage(
        instance=instance,
        frame=frame,
        position=_numbers(tags, "ImagePositionPatient") or None,
        orientation=_numbers(tags, "ImageOrientationPatient") or None,
        matrix=(*_numbers(tags, "Rows"), *_numbers(tags, "Columns")),
        spacing=_numbers(tags, "PixelSpacing"),
        stack=text("StackID"),
        image_type=tuple(value.strip() for value in text("ImageType").upper().split("\\")),
        echo_ms=_first(tags, "EchoTime"),
        echo_number=_whole(tags, "EchoNumbers"),
        b_value=_first(tags, "DiffusionBValue"),
        is_rescaled=_is_rescaled(tags),
        temporal_position=_whole(tags, "TemporalPositionIdentifier"),
        positions_declared=_whole(tags, "NumberOfTemporalPositions"),
        trigger_ms=trigger if offset is None else offset * _MS,
        acquired=acquired_at(text),
        content=moment_of_both(text("ContentDateTime"))
        or moment_of(text("ContentDate"), text("ContentTime")),
        acquisition_number=_whole(tags, "AcquisitionNumber"),
        number=_whole(tags, "InstanceNumber") if frame is None else frame,
        lowest=_lowest(tags),
    )


def _lowest(tags: Mapping[str, Any]) -> float | None:
    smallest, slope = _first(tags, "SmallestImagePixelValue"), _first(tags, "RescaleSlope")
    intercept = _first(tags, "RescaleIntercept")
    if smallest is None or (slope is None) != (intercept is None):
        return intercept
    return smallest * (1.0 if slope is None else slope) + (intercept or 0.0)


def _is_rescaled(tags: Mapping[str, Any]) -> bool | None:
    slope, intercept = _first(tags, "RescaleSlope"), _first(tags, "RescaleIntercept")
    if slope is None and intercept is None:
        return None
    # A slope of 0 is read as none, as where the pixels are read.
    return slope not in (None, 0, 1) or intercept not in (None, 0)


def _numbers(tags: Mapping[str, Any], keyword: str) -> tuple[float, ...]:
    value = tags.get(keyword)
    number = _COUNTS.get(keyword) or NUMBERS[keyword]
    return _numbers_in(value, number) if isinstance(value, str) else _read(value, number)


def _read(value: object, number: Number) -> tuple[float, ...]:
    try:
        return read_numbers(value, number)
    except WrongFormError:
        return ()


# Thousands of images of a series share most of their values.
_numbers_in = lru_cache(maxsize=4096)(_read)


def _first(tags: Mapping[str, Any], keyword: str) -> float | None:
    return next(iter(_numbers(tags, keyword)), None)


def _whole(tags: Mapping[str, Any], keyword: str) -> int | None:
    value = _first(tags, keyword)
    return None if value is None else int(value)


def _text(tags: Mapping[str, Any], keyword: str) -> str:
    value = tags.get(keyword)
    return value if isinstance(value, str) else ""
