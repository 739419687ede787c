"""Names of the volumes of a stored job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segrelay.parts.volume_ids import VolumeId


def volume_name(item: Mapping[str, Any]) -> str:
    """Name of an input as a job's row keeps it: ``orthanc_id``, and ``part`` if there is one."""
    part = item.get("part")
    return str(VolumeId(item["orthanc_id"], None if part is None else part["index"]))
