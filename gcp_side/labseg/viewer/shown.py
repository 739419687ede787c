"""The slices that are shown: of a series, or of one of its volumes."""

from __future__ import annotations

from collections.abc import Sequence

from gcp_side.labseg.dicom.segmentation import Segmentation
from gcp_side.labseg.errors import SeriesNotShownError
from gcp_side.labseg.orthanc.client import Orthanc, SlicePlace
from gcp_side.labseg.orthanc.parts import WHOLE, SeriesParts, is_one_volume, read_parts
from gcp_side.labseg.viewer.slices import not_an_id
from gcp_side.labseg.volume_ids import VolumeId, volume_id_of
from segrelay.parts import PartImage


def shown_volume(text: str) -> VolumeId:
    """Read the name of what is shown.

    Raises
    ------
    QueryRefusedError
        ``orthanc-id``
    """
    found = volume_id_of(text)
    if found is None:
        raise not_an_id()
    return found


def places_of(volume: VolumeId, orthanc: Orthanc) -> list[SlicePlace]:
    """Every slice of a volume, in no order.

    Raises
    ------
    SeriesNotShownError
        ``no-such-part``: the series has no volume of this index.

    And as :meth:`Orthanc.places`.
    """
    places = orthanc.places(volume.series_id)
    if volume.part is None:
        return places
    split = _parts(volume.series_id, places, orthanc).split
    if split is None or volume.part >= len(split.parts):
        raise SeriesNotShownError(
            "The series has no volume of this number.",
            code="no-such-part",
            remedy="Open the page of the study again: the series may have changed.",
        )
    images = {(image.instance, image.frame) for image in split.parts[volume.part].images}
    return [place for place in places if (place.orthanc_id, place.frame) in images]


def volume_under(seg: Segmentation, series_id: str, orthanc: Orthanc) -> VolumeId:
    """The volume of a series that a SEG refers to alone, else the series itself."""
    places = orthanc.places(series_id)
    split = _parts(series_id, places, orthanc).split
    if split is None:
        return VolumeId(series_id)
    uids = {(place.orthanc_id, place.frame): place.sop_instance_uid for place in places}
    sources = {source for frame in seg.frames for source in frame.sources}
    for part in split.parts:
        images = {(uids.get((one.instance, one.frame), ""), one.frame) for one in part.images}
        if sources and sources <= images:
            return VolumeId(series_id, part.index)
    return VolumeId(series_id)


def _parts(series_id: str, places: Sequence[SlicePlace], orthanc: Orthanc) -> SeriesParts:
    known = [
        PartImage(
            instance=place.orthanc_id,
            frame=place.frame,
            position=place.position,
            orientation=place.orientation,
        )
        for place in places
    ]
    if is_one_volume(known):
        return WHOLE
    instances = tuple(dict.fromkeys(place.orthanc_id for place in places))
    return read_parts({series_id: instances}, orthanc)[series_id]
