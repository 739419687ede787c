"""The volumes of the series of a study: looked for in Orthanc's index, and kept.

The index holds the places of images and their temporal positions, but no times: a series whose
images lie all apart is one volume, and of any other the tags of all images are read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.host.caching import aid_cache, cache_key
from gcp_side.labseg.orthanc.client import Orthanc, SeriesEntry
from gcp_side.labseg.orthanc.together import ask_together
from segrelay.errors import NotFoundError, SeriesRefusedError
from segrelay.orthanc import UnexpectedAnswerError
from segrelay.parts import PartImage, Split, split_series
from segrelay.parts.stacks import stacks_of


@dataclass(frozen=True, kw_only=True)
class SeriesParts:
    """What a series holds."""

    split: Split | None = None
    """None: it is one volume as a whole, or cannot be split."""
    code: str = ""
    """Why it cannot be split, a code of :func:`segrelay.parts.split_series`; else empty."""
    message: str = ""
    remedy: str = ""

    @property
    def count(self) -> int:
        """Volumes that can be named; 0 for a series that is one as a whole, or cannot be split."""
        return 0 if self.split is None else len(self.split.parts)


WHOLE = SeriesParts()

TAGS_AT_ONCE = 2
"""Series whose tags are read at the same time: of thousands of images each has a hundred MB."""

_NO_STACK = ("no-position", "mixed-orientation")
"""Of localizers and of objects that are no images: viewer and lab say so where one is chosen."""


def read_parts(series: Sequence[SeriesEntry], orthanc: Orthanc) -> dict[str, SeriesParts]:
    """What each series holds, by its Orthanc id.

    Raises
    ------
    OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
    """
    conf = get_conf()
    cache = aid_cache(conf.cache)
    keys = {item.orthanc_id: cache_key("parts", item.orthanc_id, item.version) for item in series}
    entries = {item.orthanc_id: item for item in series}
    found = {series_id: cache.get(key) for series_id, key in keys.items()}
    unknown = [series_id for series_id, parts in found.items() if parts is None]
    if unknown:
        index = orthanc.index_images(unknown)
        held = [one for one in unknown if not is_one_volume(index.get(one, []))]
        read = ask_together(
            lambda series_id: _parts(entries[series_id], orthanc), held, at_once=TAGS_AT_ONCE
        )
        split = dict(zip(held, read, strict=True))
        for series_id in unknown:
            parts = split.get(series_id, WHOLE)
            if parts is not None:
                found[series_id] = parts
                cache.set(keys[series_id], parts, timeout=conf.frames_cache_seconds)
    return {series_id: parts or WHOLE for series_id, parts in found.items()}


def _parts(series: SeriesEntry, orthanc: Orthanc) -> SeriesParts | None:
    """What a series that is not one volume holds; None if that cannot be read now."""
    try:
        split = split_series(orthanc.series_images(series.orthanc_id, series.instances))
    except (UnexpectedAnswerError, NotFoundError):
        # It changes just now, or its index is damaged: the study is shown all the same.
        return None
    except SeriesRefusedError as error:
        if error.code in _NO_STACK:
            return WHOLE
        return SeriesParts(code=error.code, message=error.message, remedy=error.remedy)
    return WHOLE if split.is_whole else SeriesParts(split=split)


def is_one_volume(index: Iterable[PartImage]) -> bool:
    """Whether the places of the images alone show that they are slices of one volume.

    Places that are not even may be those of phases that were shifted.
    """
    images = list(index)
    try:
        return split_series(images).is_whole and all(one.is_even for one in stacks_of(images)[0])
    except SeriesRefusedError:
        return False
