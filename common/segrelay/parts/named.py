"""The parts of a series as a manifest names them."""

from __future__ import annotations

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
