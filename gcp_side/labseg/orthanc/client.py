"""Orthanc as this app uses it."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.dicom.pixels import not_shown
from segrelay.dicom.companions import is_companion
from segrelay.dicom.functional_groups import frame_attributes
from segrelay.dicom.values import WrongForm, numbers_of
from segrelay.errors import (
    FixConfigurationError,
    OrthancRefusedError,
    SeriesMissingError,
    SeriesRefusedError,
)
from segrelay.orthanc import OrthancClient, OrthancSettings, SeriesInfo, answers
from segrelay.orthanc.answers import Entry
from segrelay.orthanc.transcoding import readable_file
from segrelay.parts import PartImage, images_of

logger = logging.getLogger(__name__)

Key = TypeVar("Key")
Found = TypeVar("Found")

MOST_ENHANCED = 64
"""Enhanced instances whose frames' places are held."""

MOST_COMPANIONS = 16
"""Objects without images in a series of images, each asked for separately."""

LARGEST_SEG_BYTES = 128 * 1024 * 1024
"""Twice the largest that is shown: its bits, and what it says of ten thousand frames."""

STUDIES_A_REQUEST = 500
"""Half a megabyte of answer."""

PING = {"retries": 0, "connect_timeout": 3.0, "read_timeout": 5.0}
"""Settings of the question whether Orthanc is there at all."""


@dataclass(frozen=True, kw_only=True)
class SlicePlace:
    """Where one slice of a series lies: an instance, or a frame of an enhanced one."""

    orthanc_id: str
    sop_instance_uid: str
    position: tuple[float, ...] | None
    """Image Position (Patient): 3 numbers, LPS millimetres; None where the file has none."""
    orientation: tuple[float, ...] | None
    """Image Orientation (Patient): 6 direction cosines, of a row, then of a column."""
    file_uuid: str = ""
    """Another one when the instance was replaced; empty where Orthanc has none."""
    frame: int | None = None
    """Which frame of the instance it is, from 1; None: an instance of a single image."""
    wrong: str = ""
    """Which attribute has a value that cannot be read, and its form; empty where none has."""


@dataclass(frozen=True, kw_only=True)
class StudyEntry:
    """A study as Orthanc's index has it."""

    orthanc_id: str
    study_instance_uid: str
    patient_name: str = field(repr=False)
    patient_id: str = field(repr=False)
    date: str
    """Study Date, ``YYYYMMDD`` or empty."""
    time: str
    """Study Time, ``HHMMSS`` and perhaps a fraction, or empty."""
    description: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class SeriesEntry:
    """A series as Orthanc's index has it."""

    orthanc_id: str
    study_id: str
    """Orthanc's id of its study."""
    modality: str
    number: str
    """Series Number, as text: it may be missing or malformed."""
    description: str
    instances: tuple[str, ...]
    """Orthanc ids, in the order of the upload."""
    temporal_positions: int = 0
    """Number of Temporal Positions; 0 where the index has none."""
    last_update: str = ""
    """When its last instance came, ``YYYYMMDDTHHMMSS``; empty where Orthanc does not report it."""

    @property
    def version(self) -> str:
        """Another one when an instance came, went or was replaced."""
        ids = "|".join(sorted(self.instances))
        return orthanc_id(self.last_update, ids)


class Orthanc:
    """The hospital's Orthanc; thread-safe. Raises as :class:`segrelay.orthanc.OrthancClient`."""

    def __init__(self, client: OrthancClient, settings: OrthancSettings) -> None:
        self._client = client
        self._pinger = OrthancClient(settings.model_copy(update=PING))
        self._frames: dict[SlicePlace, list[SlicePlace]] = {}

    def series(self, orthanc_id: str) -> SeriesInfo:
        """One series; raises SeriesRefusedError when there is none of this id."""
        return self._client.series(orthanc_id)

    def instance_file(self, orthanc_id: str) -> bytes:
        """The DICOM file of an instance, for a SEG: deflated on the way."""
        return self._client.instance_file(orthanc_id, limit=LARGEST_SEG_BYTES)

    def image_files(self, orthanc_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Ids and DICOM files of images, as they come: no more at a time than connections.

        An image in a transfer syntax that is not read here is decoded by Orthanc; raises
        SeriesNotShownError, ``compressed``, where that fails too.
        """
        yield from self._at_once(self._image_file, orthanc_ids)

    def image_frames(self, orthanc_id: str, frames: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Numbers, from 1, and pixel data of some frames of an instance, as they come."""
        yield from self._at_once(
            lambda frame: (frame, self._client.frame(orthanc_id, frame)), frames
        )

    def transfer_syntax(self, orthanc_id: str) -> str:
        """UID of the transfer syntax of an instance; empty where this account may not ask."""
        try:
            return self._client.transfer_syntax(orthanc_id)
        except (OrthancRefusedError, FixConfigurationError):
            return ""

    def _at_once(self, fetch: Callable[[Key], Found], keys: Iterable[Key]) -> Iterator[Found]:
        """What ``fetch`` brings of each key, no more at a time than connections."""
        most = self._client.transport.settings.connections
        waiting = iter(keys)
        with ThreadPoolExecutor(most, thread_name_prefix="images") as pool:
            running = {pool.submit(fetch, one) for one in islice(waiting, most)}
            try:
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
                        running |= {pool.submit(fetch, one) for one in islice(waiting, 1)}
            finally:
                for future in running:
                    future.cancel()

    def _image_file(self, orthanc_id: str) -> tuple[str, bytes]:
        # Not deflated: noise gains nothing, and Orthanc would take ten times as long.
        with self._client.instance_pieces(orthanc_id) as pieces:
            data = b"".join(pieces)
        try:
            return orthanc_id, readable_file(self._client, orthanc_id, data)
        except SeriesRefusedError as error:
            raise not_shown(error) from None

    def places(self, series_id: str) -> list[SlicePlace]:
        """Every slice of a series, in no order, without objects that are no images.

        One request, whatever the number of slices; raises SeriesRefusedError when there is no such
        series. An enhanced instance costs another one, once; so does, each time, an object without
        a place.
        """
        answer = list(self._bulk([series_id], "Instance", "an image"))
        if not answer:
            raise _no_series(series_id)
        places = [place for item in answer for place in self._slices(item)]
        return self._without_companions(places)

    def series_entry(self, series_id: str) -> SeriesEntry:
        """One series of the index; raises SeriesRefusedError when there is none of this id."""
        found = [_series(item) for item in self._bulk([series_id], "Series", "a series")]
        if not found:
            raise _no_series(series_id)
        return found[0]

    def places_of(self, instances: Sequence[str]) -> list[SlicePlace]:
        """Every slice of these images, in no order; those that are gone are left out."""
        answer = self._bulk(instances, "Instance", "an image")
        return [place for item in answer for place in self._slices(item)]

    def _without_companions(self, places: list[SlicePlace]) -> list[SlicePlace]:
        unplaced = [one for one in places if one.position is None and one.frame is None]
        # A series of many such objects is none of images, and is refused as it is.
        if not 0 < len(unplaced) <= min(MOST_COMPANIONS, len(places) - 1):
            return places
        companions = {one.orthanc_id for one in unplaced if is_companion(self.tags(one.orthanc_id))}
        return [one for one in places if one.orthanc_id not in companions]

    def studies_of_uid(self, uid: str) -> list[str]:
        """Orthanc ids of the studies with this Study Instance UID."""
        return [one for kind, one in self._client.lookup(uid) if kind == "Study"]

    def index_images(self, series_ids: Sequence[str]) -> dict[str, list[PartImage]]:
        """What Orthanc's index knows of the images of each series: places, temporal positions.

        Objects beside the images have no place; where all others have one, they are left out.
        """
        found: dict[str, list[PartImage]] = {series_id: [] for series_id in series_ids}
        for item in self._bulk(series_ids, "Instance", "an image"):
            images = images_of(item.orthanc_id, item.tags().fields)
            found.setdefault(item.id_of("ParentSeries"), []).extend(images)
        return {series_id: _without_companions(images) for series_id, images in found.items()}

    def series_images(self, series_id: str, instances: Collection[str]) -> list[PartImage]:
        """The images of a series, read from their tags; ``instances`` are its instances."""
        return self._client.series_images(series_id, instances)

    def _slices(self, item: Entry) -> list[SlicePlace]:
        place = _place(item)
        if place.position is not None or "NumberOfFrames" not in item.tags().fields:
            return [place]
        found = self._frames.get(place)
        if found is None:
            found = _frame_places(place, self.tags(place.orthanc_id)) or [place]
            if len(self._frames) >= MOST_ENHANCED:
                self._frames.clear()
            # Without the file's own id another file could come under the same key.
            if place.file_uuid:
                self._frames[place] = found
        return found

    def study_ids(self) -> list[str]:
        """Orthanc ids of every study, in no order."""
        return list(answers.ids(self._client.transport.call_json("GET", "/studies"), "the studies"))

    def studies(self, study_ids: Sequence[str]) -> list[StudyEntry]:
        """Those of these studies that exist, in requests of :data:`STUDIES_A_REQUEST`."""
        return [_study(item) for item in self._bulk(study_ids, "Study", "a study")]

    def series_of(self, study_ids: Sequence[str]) -> list[SeriesEntry]:
        """Every series of these studies, in no order, in such requests too."""
        return [_series(item) for item in self._bulk(study_ids, "Series", "a series")]

    def tags(self, instance_id: str) -> dict[str, Any]:
        """The tags of an instance by keyword; values are text, sequences lists of dicts."""
        return self._client.tags(instance_id)

    def ping(self) -> None:
        """Ask once, and not for long; raises when Orthanc cannot be used."""
        self._pinger.system()

    def _bulk(self, orthanc_ids: Sequence[str], level: str, what: str) -> Iterator[Entry]:
        """As :meth:`OrthancClient.bulk`, in requests of :data:`STUDIES_A_REQUEST`."""
        for start in range(0, len(orthanc_ids), STUDIES_A_REQUEST):
            some = orthanc_ids[start : start + STUDIES_A_REQUEST]
            yield from answers.entries(self._client.bulk(some, level=level), what)


def _without_companions(images: list[PartImage]) -> list[PartImage]:
    placed = [image for image in images if image.position is not None]
    return placed if 0 < len(images) - len(placed) <= MOST_COMPANIONS and placed else images


def _no_series(series_id: str) -> SeriesMissingError:
    return SeriesMissingError(
        f"Orthanc has no series {series_id}.",
        remedy="It may have been deleted: look in Orthanc.",
    )


def connect() -> Orthanc:
    """The Orthanc of the settings; one pool of connections in a process.

    Raises
    ------
    FixConfigurationError
        The settings cannot be used.
    """
    return _connect(get_conf().orthanc)


@lru_cache(maxsize=1)
def _connect(settings: OrthancSettings) -> Orthanc:
    if settings.is_exposed:
        logger.warning("Orthanc called by plain http: password and images can be read on the way")
    return Orthanc(OrthancClient(settings), settings)


def orthanc_id(*identifiers: str) -> str:
    """Orthanc's id of a resource: SHA-1 of its identifiers joined by ``|``, in groups of 8.

    ``identifiers`` are Patient ID, Study, Series and SOP Instance UID, as far as the level
    goes (https://orthanc.uclouvain.be/book/faq/orthanc-ids.html).
    """
    joined = "|".join(text.strip() for text in identifiers)
    digest = hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def _study(item: Entry) -> StudyEntry:
    tags = item.tags()
    has_patient = "PatientMainDicomTags" in item.fields
    patient = item.tags("PatientMainDicomTags") if has_patient else Entry({}, "a patient")
    return StudyEntry(
        orthanc_id=item.orthanc_id,
        study_instance_uid=tags.text_of("StudyInstanceUID"),
        patient_name=patient.text_of("PatientName"),
        patient_id=patient.text_of("PatientID"),
        date=tags.text_of("StudyDate"),
        time=tags.text_of("StudyTime"),
        description=tags.text_of("StudyDescription"),
    )


def _series(item: Entry) -> SeriesEntry:
    tags = item.tags()
    return SeriesEntry(
        orthanc_id=item.orthanc_id,
        study_id=item.id_of("ParentStudy"),
        modality=tags.text_of("Modality"),
        number=tags.text_of("SeriesNumber"),
        description=tags.text_of("SeriesDescription"),
        instances=item.ids_of("Instances"),
        temporal_positions=_count(tags.fields.get("NumberOfTemporalPositions")),
        last_update=str(item.fields.get("LastUpdate") or ""),
    )


def _count(text: object) -> int:
    return int(text) if isinstance(text, str) and re.fullmatch("[0-9]{1,4}", text.strip()) else 0


def _place(item: Entry) -> SlicePlace:
    tags = item.tags()
    place = SlicePlace(
        orthanc_id=item.orthanc_id,
        sop_instance_uid=tags.text_of("SOPInstanceUID"),
        position=None,
        orientation=None,
        file_uuid=item.text_of("FileUuid"),
    )
    return _placed(place, tags.text_of)


def _frame_places(place: SlicePlace, tags: Mapping[str, Any]) -> list[SlicePlace]:
    return [
        _placed(replace(place, frame=number), found.get)
        for number, found in enumerate(frame_attributes(tags), start=1)
    ]


def _placed(place: SlicePlace, text_of: Callable[[str], object]) -> SlicePlace:
    position = numbers_of(text_of("ImagePositionPatient"), "ImagePositionPatient")
    orientation = numbers_of(text_of("ImageOrientationPatient"), "ImageOrientationPatient")
    wrong = [str(form) for form in (position, orientation) if isinstance(form, WrongForm)]
    return replace(
        place,
        position=None if isinstance(position, WrongForm) else position or None,
        orientation=None if isinstance(orientation, WrongForm) else orientation or None,
        wrong=wrong[0] if wrong else "",
    )
