"""What is known of a series, from Orthanc's index and the tags of one of its instances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from gcp_side.labseg.dicom.enhanced import as_classic
from segrelay.dicom.acquisition import acquired_at, moment_of, named_agent
from segrelay.dicom.body_regions import regions_of
from segrelay.dicom.orientation import normal_of
from segrelay.dicom.values import Number, WrongFormError, read_numbers
from segrelay.parts import PartDoubt

Plane = Literal["axial", "sagittal", "coronal", "oblique"]

STRAIGHT_COSINE = math.cos(math.radians(30))
"""A normal within 30 degrees of a body axis is called by that plane: head scans are tilted."""

TEXT_LIMIT = 120
"""Characters of a description that are looked at and shown."""


@dataclass(frozen=True, kw_only=True)
class SeriesAttributes:
    """One MR series, or a volume of one that holds several; None where the files do not say."""

    series_id: str
    """Names the volume: Orthanc's id of the series, and ``:`` with an index if it holds several."""
    part: int | None = None
    """Which of the volumes of its series, from 0; None: the series is one volume."""
    stack: int = 0
    """Which stack of its series it is of."""
    positions_declared: int | None = None
    """Number of Temporal Positions, where it is another number than that of the series' phases."""
    order_doubt: PartDoubt | None = None
    """Why the phases of its series may be in another order."""
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
    flip_degrees: float | None = None
    spacing_mm: tuple[float, ...] | None = None
    """Pixel Spacing: between rows, between columns."""
    image_type: tuple[str, ...] = ()
    """Image Type in capital letters."""
    sequence: tuple[str, ...] = ()
    """Scanning Sequence: SE, IR, GR, EP, RM."""
    agent: str = ""
    """Contrast/Bolus Agent; empty where none is named, or none of it was given."""
    regions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Body regions that its attributes name, by keyword; see ``segrelay.dicom.body_regions``."""
    laterality: str = ""
    """``L`` or ``R`` where it shows one side of a paired organ; else empty."""
    acquisition_number: int | None = None
    """Of a volume of a series; those of different series are counted in different ways."""

    @property
    def whole_series_id(self) -> str:
        """Orthanc's id of the series."""
        return self.series_id.partition(":")[0]


def attributes_of(
    series_id: str,
    *,
    description: str,
    number: int | None,
    instances: int,
    tags: Mapping[str, Any],
) -> SeriesAttributes:
    """Read the tags of one instance; what cannot be read is left out.

    ``tags`` is keyed by keyword; multi-valued text is joined by ``\\\\``, and sequences are lists
    of the same. Of an enhanced image the first frame speaks for all.
    """
    tags = as_classic(tags)
    image_type = _values(tags, "ImageType")
    agent = named_agent(
        _text(tags, "ContrastBolusAgent")[:TEXT_LIMIT],
        _number(_text(tags, "ContrastBolusVolume")),
        _number(_text(tags, "ContrastBolusTotalDose")),
    )
    side = (_text(tags, "Laterality") or _text(tags, "ImageLaterality")).strip().upper()
    return SeriesAttributes(
        series_id=series_id,
        description=description[:TEXT_LIMIT],
        number=number,
        instances=instances * (_whole(tags, "NumberOfFrames") or 1),
        rows=_whole(tags, "Rows"),
        columns=_whole(tags, "Columns"),
        orientation=_numbers(_text(tags, "ImageOrientationPatient"), count=6),
        frame_of_reference=_text(tags, "FrameOfReferenceUID"),
        derived=image_type[:1] == ("DERIVED",),
        temporal_position=_whole(tags, "TemporalPositionIdentifier"),
        acquired=acquired_at(partial(_text, tags)),
        trigger_ms=_number(_text(tags, "TriggerTime")),
        content=moment_of(_text(tags, "ContentDate"), _text(tags, "ContentTime")),
        echo_ms=_number(_text(tags, "EchoTime")),
        repetition_ms=_number(_text(tags, "RepetitionTime")),
        inversion_ms=_number(_text(tags, "InversionTime")),
        flip_degrees=_number(_text(tags, "FlipAngle")),
        spacing_mm=_numbers(_text(tags, "PixelSpacing"), count=2),
        image_type=image_type,
        sequence=_values(tags, "ScanningSequence"),
        agent=agent,
        regions=tuple(regions_of(tags).items()),
        laterality=side if side in ("L", "R") else "",
    )


def plane_of(orientation: tuple[float, ...] | None) -> Plane | None:
    """The body plane that slices of this orientation lie in; None where it is not known."""
    if orientation is None:
        return None
    normal = normal_of(orientation)
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
    values = _numbers(text, count=1)
    return None if values is None else values[0]


def _whole(tags: Mapping[str, Any], keyword: str) -> int | None:
    value = _number(_text(tags, keyword))
    return None if value is None else int(value)


def _values(tags: Mapping[str, Any], keyword: str) -> tuple[str, ...]:
    text = _text(tags, keyword).upper()
    return tuple(value.strip() for value in text.split("\\")) if text else ()


def _numbers(text: str, *, count: int) -> tuple[float, ...] | None:
    try:
        return read_numbers(text, Number("", "DS", count)) or None
    except WrongFormError:
        return None
