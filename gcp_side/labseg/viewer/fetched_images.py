"""The images of a series out of Orthanc: whole files, or single frames of enhanced instances."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from gcp_side.labseg.dicom.frame_pixels import FrameReader
from gcp_side.labseg.dicom.pixels import SliceImage, read_slice, read_slices
from gcp_side.labseg.orthanc.client import Orthanc, SlicePlace
from segrelay.errors import FixConfigurationError, OrthancRefusedError

MOST_READERS = 16
"""Enhanced instances whose tags are held."""

Name = tuple[str, int]
"""Orthanc's id of an instance, and the frame from 1."""

_readers: OrderedDict[tuple[str, str], FrameReader] = OrderedDict()
_lock = threading.Lock()


def read_image(place: SlicePlace, orthanc: Orthanc) -> SliceImage:
    """One image, out of the whole file where it cannot be fetched alone.

    Raises
    ------
    SeriesNotShownError
        As :func:`gcp_side.labseg.dicom.pixels.read_slices`.

    And as :meth:`Orthanc.image_files`.
    """
    image = read_alone(place, orthanc)
    if image is not None:
        return image
    ((_, data),) = orthanc.image_files([place.orthanc_id])
    return read_slice(data, place.frame)


def read_alone(place: SlicePlace, orthanc: Orthanc) -> SliceImage | None:
    """An image without others: None for a frame that only its whole file has.

    Raises as :func:`read_image`.
    """
    if place.frame is None:
        ((_, data),) = orthanc.image_files([place.orthanc_id])
        return read_slice(data)
    return next((image for _, image in _read_frames([place], orthanc)), None)


def read_images(
    places: Sequence[SlicePlace], orthanc: Orthanc
) -> Iterator[tuple[Name, SliceImage]]:
    """All images of these places, in no order; perhaps others of their instances as well.

    Raises as :func:`read_image`.
    """
    by_instance: dict[str, list[SlicePlace]] = {}
    for place in places:
        by_instance.setdefault(place.orthanc_id, []).append(place)
    whole = []
    for instance, some in by_instance.items():
        frames = _read_frames(some, orthanc)
        if frames:
            yield from frames
        else:
            whole.append(instance)
    for instance, data in orthanc.image_files(whole):
        for frame, image in enumerate(read_slices(data), start=1):
            yield (instance, frame), image


def _read_frames(places: Sequence[SlicePlace], orthanc: Orthanc) -> list[tuple[Name, SliceImage]]:
    """Frames of one instance, fetched alone; none where they are not, or cannot be."""
    first = places[0]
    if first.frame is None:
        return []
    reader = _reader_of(first, orthanc)
    wanted = [place.frame for place in places if place.frame is not None]
    if not reader.can_read or len(wanted) == reader.count > 1:
        return []
    try:
        return [
            ((first.orthanc_id, frame), reader.read(frame, data))
            for frame, data in orthanc.image_frames(first.orthanc_id, wanted)
        ]
    except (OrthancRefusedError, FixConfigurationError):
        # An account that may fetch files alone; or a damaged file, which is named where it is read.
        return []


def _reader_of(place: SlicePlace, orthanc: Orthanc) -> FrameReader:
    key = place.orthanc_id, place.file_uuid
    with _lock:
        reader = _readers.get(key)
    if reader is None:
        reader = FrameReader(
            orthanc.tags(place.orthanc_id), orthanc.transfer_syntax(place.orthanc_id)
        )
        # Without the file's own id another file could come under the same key.
        if place.file_uuid:
            with _lock:
                _readers[key] = reader
                while len(_readers) > MOST_READERS:
                    _readers.popitem(last=False)
    return reader
