"""What a series holds, as sentences of the page and of the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal

from django.utils.translation import gettext, ngettext

from gcp_side.labseg.messages import explain_code
from gcp_side.labseg.orthanc.parts import SeriesParts
from gcp_side.labseg.recognition import Recognised, SeriesAttributes
from gcp_side.labseg.recognition.series_attributes import ReadSeries
from segrelay.parts import PartKey, Split
from segrelay.parts.volume_ids import VolumeId
from segrelay.texts import gettext_noop

_KEYS: Mapping[PartKey, str] = {
    PartKey.TEMPORAL_POSITION: gettext_noop("temporal position"),
    PartKey.TRIGGER_TIME: gettext_noop("trigger time"),
    PartKey.ACQUISITION_TIME: gettext_noop("acquisition time"),
    PartKey.CONTENT_TIME: gettext_noop("content time"),
    PartKey.ACQUISITION_NUMBER: gettext_noop("acquisition number"),
}
Side = Literal["right", "left"]
_SIDES: tuple[Side, Side] = ("right", "left")

APART_MM = 50.0
"""Two stacks that lie so far from each other, from right to left, are of both sides."""

_MS = 1000
"""In a second."""

_LEFT_OUT: Mapping[str, str] = {
    "localizer": gettext_noop("localizer"),
    "computed": gettext_noop("computed"),
    "complex": gettext_noop("phase, real or imaginary"),
    "water": gettext_noop("water"),
    "fat": gettext_noop("fat"),
    "in-phase": gettext_noop("in-phase"),
    "opposed-phase": gettext_noop("opposed-phase"),
}


def describe_parts(
    series_id: str, read: ReadSeries, found: Sequence[Recognised] = ()
) -> dict[str, Any] | None:
    """Fields of an answer about a series; None where it is one volume as a whole.

    Parameters
    ----------
    series_id:
        Orthanc's id.
    read:
        What was read of the series.
    found:
        What was recognised for the roles of a profile.
    """
    parts = read.parts
    split = parts.split
    if split is None and not parts.code:
        return None
    return {
        "count": parts.count,
        "stacks": 1 if split is None else split.stacks,
        "images": 0 if split is None else len(split.parts[0].images),
        "key": "" if split is None or split.key is None else split.key,
        "volume_ids": [str(VolumeId(series_id, index)) for index in range(parts.count)],
        "volumes": _volumes(read, found),
        "text": _sentence(parts),
        "code": parts.code,
        "remedy": explain_code(parts.code, parts.message, parts.remedy).remedy
        if parts.code
        else "",
    }


def _volumes(read: ReadSeries, found: Sequence[Recognised]) -> list[dict[str, Any]]:
    split = read.parts.split
    if split is None:
        return []
    roles = {item.series_id: item for item in found}
    sides = _sides(split)
    return [
        {
            "volume": volume,
            "found": roles.get(volume.series_id),
            "taken": taken_words(volume),
            "side": sides[volume.stack],
        }
        for volume in read.volumes
    ]


def _sides(split: Split) -> Sequence[Side | None]:
    """Of each stack, on which side of the other one it lies; None unless there are two so.

    By Image Position (Patient), whose first number grows towards the patient's left.
    """
    phases = len(split.parts) // split.stacks
    if split.stacks == len(_SIDES):
        first, second = (
            fmean((image.position or (0.0,))[0] for image in part.images)
            for part in split.parts[::phases]
        )
        if abs(first - second) >= APART_MM:
            return _SIDES if first < second else _SIDES[::-1]
    return [None] * split.stacks


def taken_words(volume: SeriesAttributes) -> str:
    """``trigger time 120 s`` of a volume: by which it follows the others; empty if nothing says.

    Trigger times of different series have different beginnings.
    """
    if volume.part is not None and volume.trigger_ms is not None:
        return gettext("trigger time {seconds} s").format(
            seconds=f"{volume.trigger_ms / _MS:.1f}".removesuffix(".0")
        )
    if volume.acquired is not None:
        return gettext("acquisition time {time}").format(time=f"{volume.acquired:%H:%M:%S}")
    if volume.content is not None:
        return gettext("content time {time}").format(time=f"{volume.content:%H:%M:%S}")
    if volume.temporal_position is not None:
        return gettext("temporal position {number}").format(number=volume.temporal_position)
    if volume.acquisition_number is not None:
        return gettext("acquisition number {number}").format(number=volume.acquisition_number)
    return ""


def volume_words(part: Mapping[str, Any]) -> str:
    """``phase 1 of 5, 70 images`` of a part as a job's row keeps it."""
    return gettext("volume {number} of {count}, {images} images").format(
        number=part["index"] + 1, count=part["count"], images=part["expected_images"]
    )


def _sentence(parts: SeriesParts) -> str:
    split = parts.split
    if split is None:
        return explain_code(parts.code, parts.message, parts.remedy).message
    sizes, phases = {len(part.images) for part in split.parts}, len(split.parts) // split.stacks
    # The stacks of both breasts may differ in height.
    images = f"{min(sizes)}–{max(sizes)}" if len(sizes) > 1 else str(min(sizes))  # noqa: RUF001
    text = ngettext(
        "{count} phase of {images} images", "{count} phases of {images} images", phases
    ).format(count=phases, images=images)
    if split.stacks > 1:
        text = gettext("{stacks} stacks, each with {phases}").format(
            stacks=split.stacks, phases=text
        )
    if split.key is not None and split.key in _KEYS:
        text += gettext(", by {key}").format(key=gettext(_KEYS[split.key]))
    for item in split.left_out:
        left_out = ngettext(
            "{count} image left out ({kind})", "{count} images left out ({kind})", item.count
        )
        text += "; " + left_out.format(count=item.count, kind=gettext(_LEFT_OUT[item.kind]))
    return text
