"""Instances from Orthanc to files: each whole, or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from lab_side.download.archive import fetch_archive
from lab_side.download.whole_series import fetch_series
from segrelay.dicom.elements import has_preamble
from segrelay.dicom.file_head import HEAD_BYTES, FileHead, read_file_head
from segrelay.errors import LocalDiskError, OrthancUnavailableError, SeriesRefusedError
from segrelay.orthanc.answers import InstanceInfo, SeriesInfo
from segrelay.orthanc.client import OrthancClient
from segrelay.orthanc.transcoding import fetch_transcoded, needs_transcoding
from segrelay.system.durable import disk_errors
from segrelay.system.sharing_violation import retry_sharing_violation

LEAST_ROOM = 32 * 1024 * 1024
"""Bytes that a download leaves free on its disk: a log must still be written …"""
LEAST_SHARE = 20
"""… or this part of a small disk, a twentieth, if that is less."""

_PIECE = 1024 * 1024
_REFUSED = "The work folder refused a file"


class InstanceFiles:
    """The files of one download in ``folder``; thread-safe for different instances.

    ``check``, where a call takes it, is called between two pieces and raises where the
    download shall end.
    """

    def __init__(self, client: OrthancClient, folder: Path) -> None:
        self._client = client
        self._folder = folder
        # Names as text: a Path for each of hundreds of files costs as much as its request.
        self._base = os.path.join(folder, "")
        self._verify_md5 = client.transport.settings.verify_md5
        with disk_errors("The work folder's disk cannot be measured"):
            usage = shutil.disk_usage(folder)
        self._disk_bytes, self._free_bytes = usage.total, usage.free
        self._least_room = min(LEAST_ROOM, usage.total // LEAST_SHARE)
        self._transcoded: dict[InstanceInfo, int] = {}
        """Bytes of those that Orthanc decoded in this download."""

    def check_room(self, size: int, missing: int) -> None:
        """Whether the disk, as it was before the first file, can hold what is to come.

        Parameters
        ----------
        size:
            Bytes of all files, as Orthanc announces them.
        missing:
            Those of them that are not here yet.

        Raises
        ------
        SeriesRefusedError
            ``series-exceeds-disk``: the disk would have to be larger.
        LocalDiskError
            There is too little room now.
        """
        if size + self._least_room > self._disk_bytes:
            raise SeriesRefusedError(
                f"The series have {_gigabytes(size)} in Orthanc; the work folder's whole disk has "
                f"{_gigabytes(self._disk_bytes)}.",
                code="series-exceeds-disk",
                remedy="Submit smaller series, or give the agent a larger disk (work_dir).",
            )
        if missing + self._least_room > self._free_bytes:
            raise LocalDiskError(
                f"The work folder's disk is too full: the series need {_gigabytes(missing)}, and "
                f"{_gigabytes(self._free_bytes)} are free."
            )

    def path(self, item: InstanceInfo) -> Path:
        """Where an instance lies, or shall lie."""
        return Path(self._name(item))

    def is_whole(self, item: InstanceInfo) -> bool:
        """Whether the file is there, in its full size: as stored, or as decoded by Orthanc."""
        size = self._transcoded.get(item, item.size_bytes)
        try:
            return os.stat(self._name(item)).st_size == size
        except FileNotFoundError:
            return False

    def head(self, item: InstanceInfo, size: int) -> bytes:
        """The first bytes of a file that is there."""
        with disk_errors(_REFUSED), open(self._name(item), "rb") as file:
            return file.read(size)

    def fetch_one(self, item: InstanceInfo, check: Callable[[], None]) -> None:
        """Fetch one instance; Orthanc decodes it where its transfer syntax is not read here.

        Raises
        ------
        OrthancUnavailableError
            It came with another size, at which it is broken off, or with another MD5, where
            that is checked.
        SeriesRefusedError
            ``compressed-unreadable``: neither this computer nor Orthanc decodes it.
        LocalDiskError
            The disk refused a write.
        """
        part = f"{self._base}{item.orthanc_id}.part"
        size = 0
        with (
            disk_errors(_REFUSED),
            self._client.instance_pieces(item.orthanc_id, limit=item.size_bytes) as pieces,
            open(part, "wb") as file,
        ):
            for piece in pieces:
                check()
                size += file.write(piece)
        if size != item.size_bytes:
            raise OrthancUnavailableError(
                f"An instance arrived with {size} of {item.size_bytes} bytes."
            )
        self._keep(item, part, check)

    def fetch_archive(
        self,
        items: Sequence[InstanceInfo],
        arrived: Callable[[InstanceInfo], None],
        check: Callable[[], None],
    ) -> None:
        """Fetch several as one archive; raises as :meth:`fetch_one`, and what came is kept."""
        keep = self._keeper(arrived, check)
        with disk_errors(_REFUSED):
            fetch_archive(self._client, items, self._folder, keep, check)

    def fetch_series(
        self,
        series: SeriesInfo,
        items: Sequence[InstanceInfo],
        all_bytes: int,
        arrived: Callable[[InstanceInfo], None],
        check: Callable[[], None],
    ) -> None:
        """Fetch some of a series from one answer with all of it, which has ``all_bytes`` in files.

        Raises as :meth:`fetch_one`, and what came is kept.
        """
        keep = self._keeper(arrived, check)
        with disk_errors(_REFUSED):
            fetch_series(self._client, series, items, all_bytes, self._folder, keep, check)

    def _keeper(
        self, arrived: Callable[[InstanceInfo], None], check: Callable[[], None]
    ) -> Callable[[InstanceInfo, Path], None]:
        def keep(item: InstanceInfo, path: Path) -> None:
            check()
            self._keep(item, str(path), check)
            arrived(item)

        return keep

    def _name(self, item: InstanceInfo) -> str:
        return f"{self._base}{item.orthanc_id}.dcm"

    def _keep(self, item: InstanceInfo, part: str, check: Callable[[], None]) -> None:
        head = _head(part)
        # A page before Orthanc can have the right size; a file without preamble looks like one.
        is_to_verify = self._verify_md5 or not has_preamble(head)
        if is_to_verify and _md5(part) != self._client.instance_md5(item.orthanc_id):
            raise OrthancUnavailableError("An instance arrived with another MD5 than Orthanc's.")
        stored = read_file_head(head)
        if needs_transcoding(stored):
            self._transcode(item, stored, part, check)
        with disk_errors(_REFUSED):
            retry_sharing_violation(lambda: os.replace(part, self._name(item)))

    def _transcode(
        self, item: InstanceInfo, stored: FileHead, part: str, check: Callable[[], None]
    ) -> None:
        """Replace a file as stored by the same instance as Orthanc decodes it."""
        with (
            disk_errors(_REFUSED),
            tempfile.TemporaryFile(dir=self._folder) as buffer,
            open(part, "wb") as target,
        ):
            fetch_transcoded(
                self._client, item.orthanc_id, stored, target, buffer=buffer, check=check
            )
            self._transcoded[item] = target.tell()


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _head(path: str) -> bytes:
    with disk_errors(_REFUSED), open(path, "rb") as file:
        return file.read(HEAD_BYTES)


def _md5(path: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with disk_errors(_REFUSED), open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
