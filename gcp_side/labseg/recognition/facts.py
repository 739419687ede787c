"""What is known of a series, from Orthanc's index and the tags of one of its instances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from gcp_side.labseg.enhanced import as_classic

Plane = Literal["axial", "sagittal", "coronal", "oblique"]

STRAIGHT_COSINE = math.cos(math.radians(30))
"""A normal within 30 degrees of a body axis is called by that plane: head scans are tilted."""

NO_AGENT = frozenset({"", "no", "none", "n", "without", "no contrast", "n/a"})
"""What scanners and people write where no contrast agent was given."""

TEXT_LIMIT = 120
"""Characters of a description that are looked at and shown."""


@dataclass(frozen=True, kw_only=True)
class SeriesFacts:
    """One MR series; None where the files do not tell."""

    series_id: str
    description: str = ""
    number: int | None = None
    """Series Number."""
    instances: int = 0
    """Images: a frame of an enhanced instance is one."""
    rows: int | None = None
    columns: int | None = None
    orientation: tuple[float, ...] | None = None
    """Image Orientation (Patient): 6 direction cosines."""
    frame_of_reference: str = ""
    derived: bool = False
    """Image Type says that it was computed from other images."""
    temporal_position: int | None = None
    acquired: datetime | None = None
    trigger_ms: float | None = None
    """Trigger Time."""
    content: datetime | None = None
    echo_ms: float | None = None
    repetition_ms: float | None = None
    inversion_ms: float | None = None
    agent: str = ""
    """Contrast/Bolus Agent; empty where none is named."""


def facts_of(
    series_id: str,
    *,
    description: str,
    number: int | None,
    instances: int,
    tags: Mapping[str, Any],
) -> SeriesFacts:
    """Read the tags of one instance; what cannot be read is left out.

    ``tags`` is keyed by keyword; multi-valued text is joined by ``\\\\``, and sequences are lists
    of the same. Of an enhanced image the first frame speaks for all.
    """
    tags = as_classic(tags)
    agent = _text(tags, "ContrastBolusAgent").strip()
    return SeriesFacts(
        series_id=series_id,
        description=description[:TEXT_LIMIT],
        number=number,
        instances=instances * (_whole(tags, "NumberOfFrames") or 1),
        rows=_whole(tags, "Rows"),
        columns=_whole(tags, "Columns"),
        orientation=_cosines(_text(tags, "ImageOrientationPatient")),
        frame_of_reference=_text(tags, "FrameOfReferenceUID"),
        derived=_text(tags, "ImageType").upper().startswith("DERIVED"),
        temporal_position=_whole(tags, "TemporalPositionIdentifier"),
        acquired=_moment(
            _text(tags, "AcquisitionDateTime"),
            _text(tags, "AcquisitionDate"),
            _text(tags, "AcquisitionTime"),
        ),
        trigger_ms=_number(_text(tags, "TriggerTime")),
        content=_moment("", _text(tags, "ContentDate"), _text(tags, "ContentTime")),
        echo_ms=_number(_text(tags, "EchoTime")),
        repetition_ms=_number(_text(tags, "RepetitionTime")),
        inversion_ms=_number(_text(tags, "InversionTime")),
        agent="" if agent.casefold() in NO_AGENT else agent[:TEXT_LIMIT],
    )


def plane_of(orientation: tuple[float, ...] | None) -> Plane | None:
    """The body plane that slices of this orientation lie in; None where it is not told."""
    if orientation is None:
        return None
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = math.hypot(*normal)
    planes: tuple[Plane, ...] = ("sagittal", "coronal", "axial")
    for plane, component in zip(planes, normal, strict=True):
        if length and abs(component) / length >= STRAIGHT_COSINE:
            return plane
    return "oblique"


def _text(tags: Mapping[str, Any], keyword: str) -> str:
    value = tags.get(keyword)
    return value if isinstance(value, str) else ""


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _whole(tags: Mapping[str, Any], keyword: str) -> int | None:
    value = _number(_text(tags, keyword))
    return None if value is None else int(value)


def _cosines(text: str) -> tuple[float, ...] | None:
    numbers = [_number(part) for part in text.split("\\")]
    known = tuple(value for value in numbers if value is not None)
    return known if len(known) == len(numbers) == 6 else None


def _moment(both: str, date: str, time: str) -> datetime | None:
    """A DICOM date and time; times without a date are on one and the same day."""
    stamp = both.partition("+")[0].partition("-")[0] or (date or "20000101") + time
    if len(stamp) < len("YYYYMMDDHHMM"):
        return None
    whole, _, fraction = stamp.partition(".")
    try:
        moment = datetime.strptime(whole[:14].ljust(14, "0"), "%Y%m%d%H%M%S")
        return moment + timedelta(seconds=float(f"0.{fraction}") if fraction else 0)
    except ValueError:
        return None
