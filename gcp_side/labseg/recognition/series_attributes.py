"""The attributes of a study's MR series and their volumes, read once: files never change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.host.caching import aid_cache, cache_key
from gcp_side.labseg.orthanc.client import Orthanc, SeriesEntry
from gcp_side.labseg.orthanc.parts import SeriesParts, read_parts
from gcp_side.labseg.orthanc.studies import series_number
from gcp_side.labseg.orthanc.together import ask_together
from gcp_side.labseg.recognition import SeriesAttributes, attributes_of
from segrelay.dicom.companions import is_companion
from segrelay.errors import OrthancNotFoundError
from segrelay.parts import PartKey
from segrelay.parts.keys import ATTRIBUTES, PHASE_KEYS
from segrelay.parts.volume_ids import VolumeId

SERIES_READ = 60
"""One request for each: the rest of a study of more series is left to the user."""

INSTANCES_READ = 4
"""Of a series, until one is an image."""


@dataclass(frozen=True)
class ReadSeries:
    """What a series is, and what its volumes are."""

    parts: SeriesParts
    volumes: tuple[SeriesAttributes, ...]
    """The series itself where it is one volume, or cannot be split; else one for each."""


def read_series(series: Sequence[SeriesEntry], orthanc: Orthanc) -> dict[str, ReadSeries]:
    """By Orthanc id of the series: the first :data:`SERIES_READ` MR series that have images.

    Raises
    ------
    OrthancUnavailableError, FixConfigurationError
    """
    usable = [item for item in series if item.modality == "MR" and item.instances][:SERIES_READ]
    parts = read_parts(usable, orthanc)
    found = {}
    for item, attributes in _attributes(usable, parts, orthanc):
        held = parts[item.orthanc_id]
        found[item.orthanc_id] = ReadSeries(held, tuple(split_attributes(attributes, held)))
    return found


def volumes_of(series: Mapping[str, ReadSeries]) -> dict[str, SeriesAttributes]:
    """Every volume of these series by its name; none of a series that cannot be split."""
    return {
        volume.series_id: volume
        for item in series.values()
        if not item.parts.code
        for volume in item.volumes
    }


def split_attributes(series: SeriesAttributes, parts: SeriesParts) -> Iterator[SeriesAttributes]:
    """The attributes of each volume: those of the series, and what its own images say."""
    split = parts.split
    if split is None:
        yield series
        return
    is_one_time = split.key in (PartKey.STACK, PartKey.IMAGES)
    # What does not cut the series into these volumes varies inside them, and orders nothing.
    used = PHASE_KEYS if is_one_time else (split.key, *split.agreeing)
    acquired = {image.acquired for part in split.parts for image in part.images}
    if split.key in (PartKey.CONTENT_TIME, PartKey.ACQUISITION_NUMBER) and len(acquired) == 1:
        # One time of acquisition for all: they may be other images of one phase.
        used = (*used, PartKey.ACQUISITION_TIME)
    for part in split.parts:
        first = part.images[0]
        clocks: dict[str, Any] = {
            name: getattr(first, name) if key in used else None for key, name in ATTRIBUTES.items()
        }
        yield replace(
            series,
            series_id=str(VolumeId(series.series_id, part.index)),
            part=part.index,
            stack=part.index * split.stacks // len(split.parts),
            instances=len(part.images),
            orientation=first.orientation,
            **clocks,
            positions_declared=split.declared,
            order_doubt=split.doubt,
        )


def _attributes(
    series: Sequence[SeriesEntry], parts: Mapping[str, SeriesParts], orthanc: Orthanc
) -> Iterator[tuple[SeriesEntry, SeriesAttributes]]:
    """Those of each series that was not deleted meanwhile."""
    conf = get_conf()
    cache = aid_cache(conf.cache)
    keys = {item: cache_key("series", item.orthanc_id, item.version) for item in series}
    found: dict[SeriesEntry, SeriesAttributes | None]
    found = {item: cache.get(key) for item, key in keys.items()}
    unknown = [item for item, attributes in found.items() if attributes is None]
    read = ask_together(
        lambda item: _tags_of_image(item, parts[item.orthanc_id], orthanc),
        unknown,
        at_once=conf.orthanc.connections,
    )
    for item, tags in zip(unknown, read, strict=True):
        if tags is not None:
            found[item] = attributes_of(
                item.orthanc_id,
                description=item.description,
                number=series_number(item),
                instances=len(item.instances),
                tags=tags,
            )
            cache.set(keys[item], found[item], timeout=conf.frames_cache_seconds)
    for item, attributes in found.items():
        if attributes is not None:
            yield item, attributes


def _tags_of_image(
    item: SeriesEntry, parts: SeriesParts, orthanc: Orthanc
) -> dict[str, Any] | None:
    """Of an image of the first volume; else of the first instance, or of one soon after it, where
    that is no image. None where the series was deleted meanwhile."""
    try:
        if parts.split is not None:
            return orthanc.tags(parts.split.parts[0].images[0].instance)
        tags = {}
        for instance in item.instances[:INSTANCES_READ]:
            tags = orthanc.tags(instance)
            if not is_companion(tags):
                break
    except OrthancNotFoundError:
        return None
    return tags
