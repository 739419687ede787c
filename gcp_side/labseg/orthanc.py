"""Orthanc as this app uses it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

from common.errors import SeriesRefusedError
from common.orthanc import OrthancClient, OrthancSettings, SeriesInfo
from gcp_side.labseg.conf import get_conf


@dataclass(frozen=True, kw_only=True)
class SlicePlace:
    """Where one instance of a series lies, as Orthanc's index has it."""

    orthanc_id: str
    sop_instance_uid: str
    position: tuple[float, ...] | None
    """Image Position (Patient): 3 numbers, LPS millimetres; None where the file has none."""
    orientation: tuple[float, ...] | None
    """Image Orientation (Patient): 6 direction cosines, of a row, then of a column."""
    file_uuid: str = ""
    """Another one when the instance was replaced; empty where Orthanc does not tell."""


class Orthanc(Protocol):
    """The calls that this app makes; each raises as :class:`common.orthanc.OrthancClient`."""

    def series(self, orthanc_id: str) -> SeriesInfo:
        """One series; raises SeriesRefusedError when there is none of this id."""
        ...

    def places(self, series_id: str) -> list[SlicePlace]:
        """Every instance of a series, in no order; raises SeriesRefusedError when none."""
        ...

    def instance_file(self, orthanc_id: str) -> bytes:
        """The DICOM file of an instance, for a SEG: deflated on the way."""
        ...

    def image_files(self, orthanc_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Ids and DICOM files of images, as they come: some at a time, all in parallel."""
        ...


class SiteOrthanc:
    """The hospital's Orthanc; thread-safe."""

    def __init__(self, client: OrthancClient) -> None:
        self._client = client

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
        """As the protocol: one request, whatever the number of slices."""
        answer = self._client.transport.call_json(
            "POST",
            "/tools/bulk-content",
            body={"Resources": [series_id], "Level": "Instance", "Metadata": False},
        )
        if not answer:
            raise SeriesRefusedError(
                f"Orthanc has no series {series_id}.",
                code="series-missing",
                remedy="It may have been deleted: look in Orthanc.",
            )
        return [_place(item) for item in answer]


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
    return SiteOrthanc(OrthancClient(settings))


def orthanc_id(*identifiers: str) -> str:
    """Orthanc's id of a resource: SHA-1 of its identifiers joined by ``|``, in groups of 8.

    ``identifiers`` are Patient ID, Study, Series and SOP Instance UID, as far as the level
    goes (https://orthanc.uclouvain.be/book/faq/orthanc-ids.html).
    """
    joined = "|".join(text.strip() for text in identifiers)
    digest = hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def _place(item: dict[str, Any]) -> SlicePlace:
    tags = item["MainDicomTags"]
    return SlicePlace(
        orthanc_id=item["ID"],
        sop_instance_uid=tags.get("SOPInstanceUID", ""),
        position=_numbers(tags.get("ImagePositionPatient", ""), 3),
        orientation=_numbers(tags.get("ImageOrientationPatient", ""), 6),
        file_uuid=item.get("FileUuid", ""),
    )


def _numbers(text: str, count: int) -> tuple[float, ...] | None:
    """A multi-valued decimal string; None when it is not ``count`` numbers."""
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return numbers if len(numbers) == count else None
