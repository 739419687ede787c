"""Orthanc's side of a download, in memory: every answer can be bent by the test."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

from segrelay.errors import OrthancNotFoundError, OrthancUnavailableError
from segrelay.orthanc import InstanceInfo, OrthancSettings, SeriesInfo, UnexpectedAnswerError
from segrelay.orthanc.transport import FILE_LIMIT
from tests.support.jobs import orthanc_id

NAME_IN_ARCHIVE = "Zebrafinch Quixotia/MR"
"""As Orthanc's: a patient's name, which must not come to light."""


BOUNDARY = "0f-7a"

SERIES_ID = orthanc_id(7)


def part10(sop_instance_uid: str, content: bytes, *, syntax: str = "") -> bytes:
    """A DICOM file as far as its File Meta Information goes, then ``content``.

    ``syntax`` is its Transfer Syntax UID; it names none unless given.
    """
    version = struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1"
    meta = version + _uid(3, sop_instance_uid) + (_uid(16, syntax) if syntax else b"")
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta))
    return b"\0" * 128 + b"DICM" + length + meta + content


def _uid(element: int, uid: str) -> bytes:
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return struct.pack("<HH2sH", 2, element, b"UI", len(value)) + value


def _zipped(files: Sequence[bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(files):
            archive.writestr(f"{NAME_IN_ARCHIVE}/{number:06}.dcm", data)
    return buffer.getvalue()


def multipart(files: Sequence[bytes]) -> bytes:
    """Files as Orthanc answers with a series: each part says its length."""
    parts = [
        f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\nContent-Length: {len(data)}\r\n"
        "MIME-Version: 1.0\r\n\r\n".encode()
        + data
        + b"\r\n"
        for data in files
    ]
    return b"".join(parts) + f"--{BOUNDARY}--".encode()


@dataclass
class FakeOrthanc:
    """What :class:`segrelay.orthanc.download_series` needs of a client; thread-safe enough."""

    settings: OrthancSettings
    files: dict[InstanceInfo, bytes] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)
    """Instances asked for one by one, in order."""
    looks: list[tuple[str, int]] = field(default_factory=list)
    """The series of each look at an inventory, and how many instances were asked for before."""
    archives: list[tuple[str, ...]] = field(default_factory=list)
    broken_answers: int = 0
    """So many answers break off in the middle."""
    archive_error: Exception | None = None
    offers_series_files: bool = False
    wholes: list[str] = field(default_factory=list)
    """Series asked for as one answer."""
    series_error: Exception | None = None
    hang: threading.Event | None = None
    """Where given, answers come only once it is set."""

    @classmethod
    def with_series(cls, count: int, *, size: int = 3000, **settings: object) -> FakeOrthanc:
        """One series of ``count`` instances."""
        fake = cls(OrthancSettings.model_validate({"url": "https://orthanc.example", **settings}))
        for number in range(count):
            fake.add(number, size)
        return fake

    @property
    def transport(self) -> SimpleNamespace:
        return SimpleNamespace(settings=self.settings)

    @property
    def series_id(self) -> str:
        """Of the first series."""
        return SERIES_ID

    def add(
        self, number: int, size: int = 3000, *, series_id: str = SERIES_ID, syntax: str = ""
    ) -> InstanceInfo:
        """Store one more instance."""
        uid = f"2.25.{1000 + number}"
        data = part10(uid, bytes([number % 256]) * size, syntax=syntax)
        info = InstanceInfo(
            orthanc_id=orthanc_id(100 + number),
            series_id=series_id,
            sop_instance_uid=uid,
            size_bytes=len(data),
            file_uuid=f"file-{number}",
        )
        self.files[info] = data
        return info

    def replace(self, info: InstanceInfo) -> None:
        """Other bytes of the same size under the same UID."""
        data = self.files.pop(info)
        self.files[replace(info, file_uuid="another")] = data[:-1] + b"\xff"

    def inventory(self, series_ids: Sequence[str]) -> list[InstanceInfo]:
        self.looks.extend((one, len(self.alone)) for one in series_ids)
        return [info for info in self.files if info.series_id in series_ids]

    def confirm_inventory(self, series_id: str, instances: int) -> None:
        if sum(info.series_id == series_id for info in self.files) != instances:
            raise UnexpectedAnswerError("Another number.")

    def instance_md5(self, instance_id: str) -> str:
        return hashlib.md5(self._data(instance_id), usedforsecurity=False).hexdigest()

    @contextlib.contextmanager
    def instance_pieces(
        self, instance_id: str, *, limit: int = FILE_LIMIT
    ) -> Iterator[Iterator[bytes]]:
        self.alone.append(instance_id)
        yield self._pieces(self._data(instance_id)[: limit + 1])

    def system(self) -> dict[str, object]:
        return {"ApiVersion": 20}

    @contextlib.contextmanager
    def archive(
        self, instance_ids: Sequence[str], *, transcode: str | None = None
    ) -> Iterator[Iterator[bytes]]:
        if transcode is not None:
            (instance_id,) = instance_ids
            yield self._pieces(_zipped([self.transcode(self._data(instance_id))]))
            return
        self.archives.append(tuple(instance_ids))
        if self.archive_error is not None:
            raise self.archive_error
        archive = _zipped([self._data(instance_id) for instance_id in instance_ids])
        yield self._pieces(self.bend_archive(archive))

    def series_list(self, series_ids: Sequence[str]) -> list[SeriesInfo]:
        return [self._series(one) for one in series_ids]

    def _series(self, series_id: str) -> SeriesInfo:
        return SeriesInfo(
            orthanc_id=series_id,
            study_id=orthanc_id(6),
            study_instance_uid="2.25.6",
            series_instance_uid="2.25.7",
            modality="MR",
            description="",
            number="1",
            instances=sum(info.series_id == series_id for info in self.files),
        )

    @contextlib.contextmanager
    def series_files(
        self, series: SeriesInfo, *, limit: int
    ) -> Iterator[tuple[str, Iterator[bytes]]]:
        self.wholes.append(series.orthanc_id)
        if self.series_error is not None:
            self.offers_series_files = False
            raise self.series_error
        files = [data for info, data in self.files.items() if info.series_id == series.orthanc_id]
        answer = self.bend_series(multipart(files))
        assert len(answer) <= limit
        yield (
            f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
            self._pieces(answer),
        )

    def bend_series(self, answer: bytes) -> bytes:
        """What a test replaces."""
        return answer

    def transcode(self, data: bytes) -> bytes:
        """The file as Orthanc decodes it: as stored where it cannot. What a test replaces."""
        return data

    def bend_archive(self, archive: bytes) -> bytes:
        """What a test replaces."""
        return archive

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if self.hang is not None:
            self.hang.wait()
        half = len(data) // 2
        yield data[:half]
        if self.broken_answers > 0:
            self.broken_answers -= 1
            raise OrthancUnavailableError("Orthanc's answer broke off.")
        yield data[half:]

    def _data(self, instance_id: str) -> bytes:
        for info, data in self.files.items():
            if info.orthanc_id == instance_id:
                return data
        raise OrthancNotFoundError("It is not there.")
