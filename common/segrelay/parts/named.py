"""The parts of a series as a manifest names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from segrelay.errors import SegRelayError
from segrelay.manifest import SeriesPart
from segrelay.parts.split import Split


def named_parts(split: Split) -> list[SeriesPart | None]:
    """For each volume of a split, in order; None for a series that is one volume as a whole."""
    if split.key is None:
        return [None]
    return [
        SeriesPart(
            key=split.key,
            index=part.index,
            count=len(split.parts),
            expected_images=len(part.images),
        )
        for part in split.parts
    ]


def volumes_in_order(
    splits: Iterable[tuple[str, Split | None]],
    several_stacks: Callable[[str, Split], SegRelayError],
) -> list[tuple[str, SeriesPart | None]]:
    """Return the volumes of several series: series by series, in each in the order of time.

    Parameters
    ----------
    splits:
        Orthanc ids of series with what they hold; None for one that is one volume as a whole.
    several_stacks:
        The error for a series that holds several stacks, as of both breasts: which is meant?

    Returns
    -------
    Orthanc id of the series, and its part as a manifest names it.
    """
    found: list[tuple[str, SeriesPart | None]] = []
    for series_id, split in splits:
        if split is None:
            found.append((series_id, None))
            continue
        if split.stacks > 1:
            raise several_stacks(series_id, split)
        found += [(series_id, part) for part in named_parts(split)]
    return found
