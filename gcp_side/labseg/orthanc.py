"""Orthanc as this app uses it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

from common.errors import OrthancRefusedError, SeriesRefusedError
from common.manifest import is_orthanc_id
from common.orthanc import OrthancClient, OrthancSettings, SeriesInfo
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.enhanced import frame_attributes

log = logging.getLogger(__name__)

MOST_ENHANCED = 64
"""Enhanced instances whose frames' places are held."""

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
    """Another one when the instance was replaced; empty where Orthanc does not tell."""
    frame: int | None = None
    """Which frame of the instance it is, from 1; None: an instance of a single image."""


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
    """Series Number, as text: it may be missing or odd."""
    description: str
    instances: tuple[str, ...]
    """Orthanc ids, in the order of the upload."""


class Orthanc(Protocol):
    """The calls that this app makes; each raises as :class:`common.orthanc.OrthancClient`."""

    def series(self, orthanc_id: str) -> SeriesInfo:
        """One series; raises SeriesRefusedError when there is none of this id."""
        ...

    def places(self, series_id: str) -> list[SlicePlace]:
        """Every slice of a series, in no order; raises SeriesRefusedError when none."""
        ...

    def instance_file(self, orthanc_id: str) -> bytes:
        """The DICOM file of an instance, for a SEG: deflated on the way."""
        ...

    def image_files(self, orthanc_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Ids and DICOM files of images, as they come: some at a time, all in parallel."""
        ...

    def study_ids(self) -> list[str]:
        """Orthanc ids of every study, in no order."""
        ...

    def studies(self, study_ids: Sequence[str]) -> list[StudyEntry]:
        """Those of these studies that exist."""
        ...

    def series_of(self, study_ids: Sequence[str]) -> list[SeriesEntry]:
        """Every series of these studies, in no order."""
        ...

    def tags(self, instance_id: str) -> dict[str, Any]:
        """The tags of an instance by keyword; values are text, sequences lists of dicts."""
        ...

    def ping(self) -> None:
        """Ask once, and not for long; raises when Orthanc cannot be used."""
        ...


class SiteOrthanc:
    """The hospital's Orthanc; thread-safe."""

    def __init__(self, client: OrthancClient, settings: OrthancSettings) -> None:
        self._client = client
        self._pinger = OrthancClient(settings.model_copy(update=PING))
        self._frames: dict[SlicePlace, list[SlicePlace]] = {}

    def series(self, orthanc_id: str) -> SeriesInfo:
        """As the protocol."""
        return self._client.series(orthanc_id)

    def instance_file(self, orthanc_id: str) -> bytes:
        """As the protocol."""
        return self._client.instance_file(orthanc_id)

    def image_files(self, orthanc_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """As the protocol; no more files are held than there are connections."""
        most = self._client.transport.settings.connections
        waiting = iter(orthanc_ids)
        with ThreadPoolExecutor(most, thread_name_prefix="images") as pool:
            running = {pool.submit(self._image_file, one) for one in islice(waiting, most)}
            try:
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
                        running |= {
                            pool.submit(self._image_file, one) for one in islice(waiting, 1)
                        }
            finally:
                for future in running:
                    future.cancel()

    def _image_file(self, orthanc_id: str) -> tuple[str, bytes]:
        # Not deflated: noise gains nothing, and Orthanc would take ten times as long.
        with self._client.instance_pieces(orthanc_id) as pieces:
            return orthanc_id, b"".join(pieces)

    def places(self, series_id: str) -> list[SlicePlace]:
        """As the protocol: one request, whatever the number of slices.

        An enhanced instance costs another one, once.
        """
        answer = list(self._bulk([series_id], "Instance"))
        if not answer:
            raise SeriesRefusedError(
                f"Orthanc has no series {series_id}.",
                code="series-missing",
                remedy="It may have been deleted: look in Orthanc.",
            )
        return [place for item in answer for place in self._slices(item)]

    def _slices(self, item: dict[str, Any]) -> list[SlicePlace]:
        place = _place(item)
        if place.position is not None or "NumberOfFrames" not in item["MainDicomTags"]:
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
        """As the protocol."""
        answer: list[str] = self._client.transport.call_json("GET", "/studies")
        return answer

    def studies(self, study_ids: Sequence[str]) -> list[StudyEntry]:
        """As the protocol, in requests of :data:`STUDIES_A_REQUEST`."""
        return [_study(item) for item in self._bulk(study_ids, "Study")]

    def series_of(self, study_ids: Sequence[str]) -> list[SeriesEntry]:
        """As the protocol, in requests of :data:`STUDIES_A_REQUEST`."""
        return [_series(item) for item in self._bulk(study_ids, "Series")]

    def tags(self, instance_id: str) -> dict[str, Any]:
        """As the protocol."""
        _check_id(instance_id)
        path = f"/instances/{instance_id}/simplified-tags"
        answer: dict[str, Any] = self._client.transport.call_json("GET", path)
        return answer

    def ping(self) -> None:
        """As the protocol."""
        self._pinger.system()

    def _bulk(self, orthanc_ids: Sequence[str], level: str) -> Iterator[dict[str, Any]]:
        """What ``/tools/bulk-content`` has below these studies or series, or of themselves."""
        for one in orthanc_ids:
            _check_id(one)
        for start in range(0, len(orthanc_ids), STUDIES_A_REQUEST):
            body = {
                "Resources": list(orthanc_ids[start : start + STUDIES_A_REQUEST]),
                "Level": level,
                "Metadata": False,
            }
            yield from self._client.transport.call_json("POST", "/tools/bulk-content", body=body)


def connect() -> Orthanc:
    """The Orthanc of the settings; one pool of connections in a process.

    Raises
    ------
    FixConfigurationError
        The settings cannot be used.
    """
    return _connect(get_conf().orthanc)


@lru_cache(maxsize=1)
def _connect(settings: OrthancSettings) -> SiteOrthanc:
    if settings.is_exposed:
        log.warning("Plain http to Orthanc: password and images can be read on the way.")
    return SiteOrthanc(OrthancClient(settings), settings)


def orthanc_id(*identifiers: str) -> str:
    """Orthanc's id of a resource: SHA-1 of its identifiers joined by ``|``, in groups of 8.

    ``identifiers`` are Patient ID, Study, Series and SOP Instance UID, as far as the level
    goes (https://orthanc.uclouvain.be/book/faq/orthanc-ids.html).
    """
    joined = "|".join(text.strip() for text in identifiers)
    digest = hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def _check_id(identifier: str) -> None:
    # An id goes into the path of a request: nothing else may.
    if not is_orthanc_id(identifier):
        raise OrthancRefusedError("An id is not an Orthanc id.", code="orthanc-not-found")


def _study(item: dict[str, Any]) -> StudyEntry:
    tags, patient = item["MainDicomTags"], item.get("PatientMainDicomTags", {})
    return StudyEntry(
        orthanc_id=item["ID"],
        study_instance_uid=tags.get("StudyInstanceUID", ""),
        patient_name=patient.get("PatientName", ""),
        patient_id=patient.get("PatientID", ""),
        date=tags.get("StudyDate", ""),
        time=tags.get("StudyTime", ""),
        description=tags.get("StudyDescription", ""),
    )


def _series(item: dict[str, Any]) -> SeriesEntry:
    tags = item["MainDicomTags"]
    return SeriesEntry(
        orthanc_id=item["ID"],
        study_id=item["ParentStudy"],
        modality=tags.get("Modality", ""),
        number=tags.get("SeriesNumber", ""),
        description=tags.get("SeriesDescription", ""),
        instances=tuple(item["Instances"]),
    )


def _place(item: dict[str, Any]) -> SlicePlace:
    tags = item["MainDicomTags"]
    return SlicePlace(
        orthanc_id=item["ID"],
        sop_instance_uid=tags.get("SOPInstanceUID", ""),
        position=_numbers(tags.get("ImagePositionPatient", ""), 3),
        orientation=_numbers(tags.get("ImageOrientationPatient", ""), 6),
        file_uuid=item.get("FileUuid", ""),
    )


def _frame_places(place: SlicePlace, tags: Mapping[str, Any]) -> list[SlicePlace]:
    return [
        replace(
            place,
            frame=number,
            position=_numbers(found.get("ImagePositionPatient", ""), 3),
            orientation=_numbers(found.get("ImageOrientationPatient", ""), 6),
        )
        for number, found in enumerate(frame_attributes(tags), start=1)
    ]


def _numbers(text: str, count: int) -> tuple[float, ...] | None:
    """A multi-valued decimal string; None when it is not ``count`` numbers."""
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return numbers if len(numbers) == count else None
