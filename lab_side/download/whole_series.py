"""Whole series in one answer each, where there is no round trip to wait for.

On a line with a round trip many connections carry most, an instance at a time. Beside Orthanc, or
in one building with it, the time goes into the requests themselves: one answer with all files of a
series takes a tenth of the processor time of a request for each. Nothing is believed but the bytes,
as of an archive: a part counts when it names, in its File Meta Information, an instance that was
asked for, and has its size. What is missing afterwards is the caller's to fetch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from lab_side.download.multipart import MultipartReader
from segrelay.dicom.file_head import HEAD_BYTES, read_file_head
from segrelay.errors import SegRelayError
from segrelay.orthanc.answers import InstanceInfo, SeriesInfo
from segrelay.orthanc.client import OrthancClient

NEAR_S = 0.005
"""An instance that came within this had no round trip to wait for; between two buildings it is
longer. One is enough: a busy computer makes most of them slow, and nothing makes a line fast."""

LEAST_INSTANCES = 8
"""Of a series that comes as a whole: it takes a new connection, and what was begun comes twice."""

_HEADERS_BYTES = 1024
"""Room for the headers of a part, and as much for the end of all."""


class WholeSeries:
    """Whether the rest of a download comes in one answer a series; thread-safe."""

    def __init__(self, client: OrthancClient) -> None:
        self._client = client
        self._is_decided = False
        self._lock = threading.Lock()

    def is_due(self, seconds: float) -> bool:
        """Whether an instance that took ``seconds`` shows that it should; true once only."""
        if seconds >= NEAR_S or not self._client.offers_series_files:
            return False
        with self._lock:
            is_first, self._is_decided = not self._is_decided, True
            return is_first

    def find(self, series_ids: Collection[str]) -> dict[str, SeriesInfo]:
        """The series by Orthanc's id; none where Orthanc does not say."""
        # An error means nothing here, and others will meet it.
        with suppress(SegRelayError):
            return {one.orthanc_id: one for one in self._client.series_list(list(series_ids))}
        return {}


def fetch_series(
    client: OrthancClient,
    series: SeriesInfo,
    items: Sequence[InstanceInfo],
    all_bytes: int,
    folder: Path,
    keep: Callable[[InstanceInfo, Path], None],
    check: Callable[[], None],
) -> None:
    """Fetch ``items`` of ``series`` from an answer with all of its instances.

    ``all_bytes`` are those of all its files; ``keep`` is handed each whole instance of ``items``, a
    file in ``folder``; ``check`` is called between two pieces and raises where the download shall
    end.

    Raises
    ------
    OrthancUnavailableError
        It broke off, or is no answer in parts; what came before was kept.
    OSError
        The disk refused a write.
    """
    wanted = {item.sop_instance_uid: item for item in items}
    limit = all_bytes + (series.instances + 1) * _HEADERS_BYTES
    path = folder / f"{series.orthanc_id}.part"
    try:
        with client.series_files(series, limit=limit) as (content_type, pieces):
            reader = MultipartReader(content_type, pieces)
            while (size := reader.next_part()) is not None:
                item = wanted.pop(_write(reader, size, path, check) or "", None)
                if item is not None and item.size_bytes == size:
                    keep(item, path)
    finally:
        path.unlink(missing_ok=True)


def _write(reader: MultipartReader, size: int, path: Path, check: Callable[[], None]) -> str | None:
    """Write a part to ``path``; returns which instance it is."""
    head = b""
    with path.open("wb") as file:
        for piece in reader.body(size):
            check()
            head += piece[: HEAD_BYTES - len(head)]
            file.write(piece)
    return read_file_head(head).sop_instance_uid
