"""The attributes of a study's MR series, read once: the files of a series never change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.host.caching import aid_cache, cache_key
from gcp_side.labseg.orthanc.client import Orthanc, SeriesEntry
from gcp_side.labseg.orthanc.studies import series_number
from gcp_side.labseg.recognition import SeriesAttributes, attributes_of
from segrelay.dicom.companions import is_companion
from segrelay.errors import OrthancNotFoundError

SERIES_READ = 60
"""One request for each: the rest of a study of more series is left to the user."""

INSTANCES_READ = 4
"""Of a series, until one is an image."""


def read_attributes(series: Sequence[SeriesEntry], orthanc: Orthanc) -> dict[str, SeriesAttributes]:
    """By Orthanc id of the series: the first :data:`SERIES_READ` MR series that have images.

    Raises
    ------
    OrthancUnavailableError, FixConfigurationError
    """
    usable = [item for item in series if item.modality == "MR" and item.instances]
    attributes = {}
    for item in usable[:SERIES_READ]:
        found = _attributes(item, orthanc)
        if found is not None:
            attributes[item.orthanc_id] = found
    return attributes


def _attributes(item: SeriesEntry, orthanc: Orthanc) -> SeriesAttributes | None:
    """None where the series was deleted meanwhile."""
    conf = get_conf()
    cache = aid_cache(conf.cache)
    # A series that still arrives has another number of instances.
    key = cache_key("series", item.orthanc_id, len(item.instances))
    attributes: SeriesAttributes | None = cache.get(key)
    if attributes is None:
        try:
            tags = _tags_of_image(item, orthanc)
        except OrthancNotFoundError:
            return None
        attributes = attributes_of(
            item.orthanc_id,
            description=item.description,
            number=series_number(item),
            instances=len(item.instances),
            tags=tags,
        )
        cache.set(key, attributes, timeout=conf.frames_cache_seconds)
    return attributes


def _tags_of_image(item: SeriesEntry, orthanc: Orthanc) -> dict[str, Any]:
    """Of the first instance, or of one that comes soon after, where that is no image."""
    tags = {}
    for instance in item.instances[:INSTANCES_READ]:
        tags = orthanc.tags(instance)
        if not is_companion(tags):
            break
    return tags
