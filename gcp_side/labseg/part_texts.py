"""What a series holds, as sentences of the page and of the command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext, ngettext

from gcp_side.labseg.messages import explain_code
from gcp_side.labseg.orthanc.parts import SeriesParts
from gcp_side.labseg.volume_ids import VolumeId
from segrelay.parts import PartKey
from segrelay.texts import gettext_noop

_KEYS: Mapping[PartKey, str] = {
    PartKey.TEMPORAL_POSITION: gettext_noop("temporal position"),
    PartKey.TRIGGER_TIME: gettext_noop("trigger time"),
    PartKey.ACQUISITION_TIME: gettext_noop("acquisition time"),
    PartKey.CONTENT_TIME: gettext_noop("content time"),
    PartKey.ACQUISITION_NUMBER: gettext_noop("acquisition number"),
}
_LEFT_OUT: Mapping[str, str] = {
    "localizer": gettext_noop("localizer"),
    "computed": gettext_noop("computed"),
    "complex": gettext_noop("phase, real or imaginary"),
    "water": gettext_noop("water"),
    "fat": gettext_noop("fat"),
    "in-phase": gettext_noop("in-phase"),
    "opposed-phase": gettext_noop("opposed-phase"),
}


def describe_parts(series_id: str, parts: SeriesParts) -> dict[str, Any] | None:
    """Fields of an answer about a series; None where it is one volume as a whole."""
    split = parts.split
    if split is None and not parts.code:
        return None
    return {
        "count": parts.count,
        "stacks": 1 if split is None else split.stacks,
        "images": 0 if split is None else len(split.parts[0].images),
        "key": "" if split is None or split.key is None else split.key,
        "volume_ids": [str(VolumeId(series_id, index)) for index in range(parts.count)],
        "text": _sentence(parts),
        "code": parts.code,
        "remedy": explain_code(parts.code, parts.message, parts.remedy).remedy
        if parts.code
        else "",
    }


def volume_words(part: Mapping[str, Any]) -> str:
    """``phase 1 of 5, 70 images`` of a part as a job's row keeps it."""
    return gettext("volume {number} of {count}, {images} images").format(
        number=part["index"] + 1, count=part["count"], images=part["expected_images"]
    )


def _sentence(parts: SeriesParts) -> str:
    split = parts.split
    if split is None:
        return explain_code(parts.code, parts.message, parts.remedy).message
    images, phases = len(split.parts[0].images), len(split.parts) // split.stacks
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
        text += "; " + gettext("{count} images left out ({kind})").format(
            count=item.count, kind=gettext(_LEFT_OUT[item.kind])
        )
    return text
