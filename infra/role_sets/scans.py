"""Series as the site sees them, studies with the right series for each role, and their tables.

A row of a table is what was acquired alike in a study; without ``study`` it continues the row
above. ``roles`` (``-``: none) and ``descriptions`` have a value for each series, parted by ``|``;
so have ``numbers``, or the first of consecutive ones, and ``at``, the Acquisition Time, or one for
all. ``times`` are echo, repetition and inversion time in ms. ``other`` has the tags that differ
from the usual ones; a tag without a value is absent. ``rest`` names the roles of the usual series
that follow (:data:`USUAL`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from gcp_side.labseg.recognition import SeriesAttributes, attributes_of

PHASES = ("dce-0", "dce-1", "dce-2", "dce-3")
BRAIN = ("t1", "t1c", "t2", "flair")

IMAGES = 160
"""Of a series whose row has no ``images``."""

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
    images: int,
    at: str = "",
    plane: str = "ax",
    kind: str = ORIGINAL,
    other: str = "",
) -> Scan:
    """A series; ``times`` and ``other`` as in a table."""
    names = ("EchoTime", "RepetitionTime", "InversionTime")
    tags = {
        "Rows": "256",
        "Columns": "256",
        "ImageOrientationPatient": PLANES[plane],
        "FrameOfReferenceUID": "1.2.3.1",
        "ImageType": kind,
        **dict(zip(names, times.split("/"), strict=False)),
    }
    if at:
        tags |= {"AcquisitionDate": "20250311", "AcquisitionTime": at}
    for part in filter(None, other.split("; ")):
        keyword, _, value = part.partition("=")
        tags[keyword] = value
    given = {keyword: value for keyword, value in tags.items() if value}
    return Scan(description, number, images, given)


USUAL = {
    "t2": scan("AX T2", 5, "98/4500", images=24),
    "flair": scan("AX FLAIR", 6, "110/9000/2500", images=24),
}
"""By role, series that most studies of the brain have."""


def read_table(path: Path, roles: Sequence[str]) -> list[RoleSet]:
    """The studies of a table, each of them with all ``roles``."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    starts = [place for place, row in enumerate(rows) if row["study"]]
    return [_study(rows[start:end], roles) for start, end in pairwise([*starts, len(rows)])]


def _study(rows: Sequence[Mapping[str, str]], roles: Sequence[str]) -> RoleSet:
    series = [found for row in rows for found in _series(row)]
    places = {role: place for place, (role, _) in enumerate(series)}
    right = {role: places.get(role) for role in roles}
    return RoleSet(rows[0]["study"], right, [one for _, one in series])


def _series(row: Mapping[str, str]) -> Iterator[tuple[str, Scan]]:
    """The role of each series of a row, and the series."""
    roles, descriptions, numbers, clock = (
        _cells(row[column]) for column in ("roles", "descriptions", "numbers", "at")
    )
    if len(numbers) == 1:
        numbers = [str(int(numbers[0]) + place) for place in range(len(descriptions))]
    if len(clock) == 1:
        clock *= len(descriptions)
    each = zip(roles, descriptions, numbers, clock, strict=True)
    for role, description, number, at in each:
        yield (
            role,
            scan(
                description,
                int(number),
                row["times"],
                images=int(row["images"] or IMAGES),
                at=at,
                plane=row["plane"] or "ax",
                kind=row["kind"] or ORIGINAL,
                other=row["other"],
            ),
        )
    for role in filter(None, _cells(row["rest"])):
        yield role, USUAL[role]


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.split("|")]
