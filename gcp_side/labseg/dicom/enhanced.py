"""Enhanced multi-frame images: what a classic image says at its top is in functional groups.

A functional group is one frame's own, or shared by all frames of the instance (PS3.3 C.7.6.16.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segrelay.dicom.functional_groups import AS_CLASSIC
from segrelay.dicom.values import value_of

PER_FRAME = "PerFrameFunctionalGroupsSequence"
SHARED = "SharedFunctionalGroupsSequence"


def frame_attributes(image: Any) -> Iterator[dict[str, Any]]:
    """For each frame, the attributes that a classic image of that slice would have.

    Parameters
    ----------
    image:
        Anything with ``get(keyword)``: a pydicom Dataset, or tags of Orthanc. Without functional
        groups there are no frames.
    """
    shared = _first(image, SHARED)
    for group in _items(image, PER_FRAME):
        found = {}
        for sequence, keyword, classic in AS_CLASSIC:
            item = _first(group, sequence) or _first(shared, sequence)
            value = value_of(item, keyword)
            if value is not None:
                found[classic] = value
        yield found


def as_classic(tags: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tags of an instance with those that a classic image has, taken from its first frame."""
    first = next(frame_attributes(tags), None)
    if first is None:
        return tags
    agent = _first(tags, "ContrastBolusAgentSequence").get("CodeMeaning", "")
    return {**tags, "ContrastBolusAgent": agent, **first}


def _items(holder: Any, keyword: str) -> Sequence[Any]:
    """The items of a sequence; none where it is absent, or something else under its name.

    An item that is something else is empty: those after it keep their frames' numbers.
    """
    value = holder.get(keyword)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    return [item if hasattr(item, "get") else {} for item in value]


def _first(holder: Any, keyword: str) -> Any:
    items = _items(holder, keyword)
    return items[0] if items else {}
