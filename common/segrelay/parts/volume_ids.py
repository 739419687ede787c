"""Names of volumes: Orthanc's id of a series, and ``:`` with an index where it holds several."""

from __future__ import annotations

from typing import NamedTuple

from segrelay.manifest import MOST_PARTS, is_orthanc_id


class VolumeId(NamedTuple):
    """A series, or one of its volumes."""

    series_id: str
    """Orthanc's id."""
    part: int | None = None
    """Which of its volumes, from 0 (see ``segrelay.parts``); None: the whole series is one."""

    def __str__(self) -> str:
        return self.series_id if self.part is None else f"{self.series_id}:{self.part}"


def volume_id_of(text: str) -> VolumeId | None:
    """Read ``<series id>`` or ``<series id>:<index>``; None for anything else."""
    series_id, colon, index = text.partition(":")
    if not is_orthanc_id(series_id):
        return None
    if not colon:
        return VolumeId(series_id)
    is_number = index.isascii() and index.isdigit() and len(index) < len(str(MOST_PARTS))
    return VolumeId(series_id, int(index)) if is_number and str(int(index)) == index else None


def names_series(text: str) -> bool:
    """Whether what comes before a colon is an Orthanc id, whatever follows."""
    return is_orthanc_id(text.partition(":")[0])
