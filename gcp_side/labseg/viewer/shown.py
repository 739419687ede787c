"""The slices that are shown: of a series, or of one of its volumes."""

from __future__ import annotations

from gcp_side.labseg.dicom.segmentation import Segmentation
from gcp_side.labseg.errors import NoSuchVolumeError
from gcp_side.labseg.orthanc.client import Orthanc, SlicePlace
from gcp_side.labseg.orthanc.parts import read_parts
from gcp_side.labseg.viewer.slices import not_an_id
from segrelay.parts import Split
from segrelay.parts.volume_ids import VolumeId, volume_id_of


def shown_volume(text: str) -> VolumeId:
    """Read the name of what is shown.

    Raises
    ------
    QueryRefusedError
        ``orthanc-id``, ``volume-id``
    """
    found = volume_id_of(text)
    if found is None:
        raise not_an_id(text)
    return found


def places_of(volume: VolumeId, orthanc: Orthanc) -> list[SlicePlace]:
    """Every slice of a volume, in no order.

    Raises
    ------
    NoSuchVolumeError
        The series has no volume of this index.

    And as :meth:`Orthanc.places`.
    """
    if volume.part is None:
        return orthanc.places(volume.series_id)
    # Of a series of thousands of images only those of the volume are asked for.
    split = _split(volume.series_id, orthanc)
    if split is None or volume.part >= len(split.parts):
        raise NoSuchVolumeError("The series has no volume of this number.")
    images = {(image.instance, image.frame) for image in split.parts[volume.part].images}
    places = orthanc.places_of(sorted({instance for instance, _ in images}))
    shown = [place for place in places if (place.orthanc_id, place.frame) in images]
    if len(shown) != len(images):
        raise NoSuchVolumeError("The series has no volume of this number.")
    return shown


def volume_under(seg: Segmentation, series_id: str, orthanc: Orthanc) -> VolumeId:
    """The volume of a series that a SEG refers to alone, else the series itself."""
    split = _split(series_id, orthanc)
    if split is None:
        return VolumeId(series_id)
    uids = {
        (place.orthanc_id, place.frame): place.sop_instance_uid
        for place in orthanc.places(series_id)
    }
    sources = {source for frame in seg.frames for source in frame.sources}
    for part in split.parts:
        images = {(uids.get((one.instance, one.frame), ""), one.frame) for one in part.images}
        if sources and sources <= images:
            return VolumeId(series_id, part.index)
    return VolumeId(series_id)


def _split(series_id: str, orthanc: Orthanc) -> Split | None:
    return read_parts([orthanc.series_entry(series_id)], orthanc)[series_id].split
