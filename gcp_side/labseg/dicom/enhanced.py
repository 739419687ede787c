"""Enhanced multi-frame images: what a classic image says at its top is in functional groups.

A functional group is one frame's own, or shared by all frames of the instance (PS3.3 C.7.6.16.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segrelay.dicom.functional_groups import first_item, frame_attributes


def as_classic(tags: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tags of an instance with those that a classic image has, taken from its first frame."""
    first = next(frame_attributes(tags), None)
    if first is None:
        return tags
    agent = first_item(tags, "ContrastBolusAgentSequence").get("CodeMeaning", "")
    return {**tags, "ContrastBolusAgent": agent, **first}
