"""Series as the site sees them, and studies with the right series for each role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from gcp_side.labseg.recognition import SeriesAttributes, attributes_of

PHASES = ("dce-0", "dce-1", "dce-2", "dce-3")
BRAIN = ("t1", "t1c", "t2", "flair")

ORIGINAL = "ORIGINAL\\PRIMARY\\M\\ND"

PLANES = {
    "ax": "1\\0\\0\\0\\1\\0",
    "sag": "0\\1\\0\\0\\0\\-1",
    "cor": "1\\0\\0\\0\\0\\-1",
}


@dataclass(frozen=True)
class Scan:
    """One series as the site sees it: two attributes of its own, and tags of an instance."""

    description: str
    number: int
    instances: int
    tags: Mapping[str, str]


@dataclass(frozen=True)
class RoleSet:
    """One study."""

    name: str
    right: Mapping[str, int | None]
    """By role, the place of its series in ``series``; None where no series has the role."""
    series: Sequence[Scan]
    roles: Sequence[str] = field(default=())
    """The roles in the order in which they are asked for; empty: that of ``right``."""

    @property
    def asked(self) -> Sequence[str]:
        """The roles in the order in which they are asked for."""
        return self.roles or tuple(self.right)

    @property
    def attributes(self) -> list[SeriesAttributes]:
        """The series as the site reads them; their ids are their places, as text."""
        return [
            attributes_of(
                f"{place:03}",
                description=one.description,
                number=one.number,
                instances=one.instances,
                tags=one.tags,
            )
            for place, one in enumerate(self.series)
        ]


def scan(
    description: str,
    number: int,
    times: str,
    *,
    images: int = 160,
    at: str = "",
    plane: str = "ax",
    agent: str = "",
    kind: str = ORIGINAL,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> Scan:
    """A series.

    Parameters
    ----------
    times:
        Echo, repetition and inversion time in ms, parted by slashes.
    tags:
        What differs from the usual ones; an empty text takes one away.
    """
    names = ("EchoTime", "RepetitionTime", "InversionTime")
    known = {
        "Rows": "256",
        "Columns": "256",
        "ImageOrientationPatient": PLANES[plane],
        "FrameOfReferenceUID": "1.2.3.1",
        "ImageType": kind,
        "ContrastBolusAgent": agent,
        **dict(zip(names, times.split("/"), strict=False)),
    }
    if at:
        known |= {"AcquisitionDate": "20250311", "AcquisitionTime": at}
    given = {keyword: value for keyword, value in {**known, **tags}.items() if value}
    return Scan(description, number, images, given)


def phases(*places: int | None) -> dict[str, int | None]:
    """The right series of the four phases."""
    return dict(zip(PHASES, places, strict=True))


def brain(
    t1: int | None = None, t1c: int | None = None, t2: int | None = None, flair: int | None = None
) -> dict[str, int | None]:
    """The right series of the four sequences."""
    return {"t1": t1, "t1c": t1c, "t2": t2, "flair": flair}
