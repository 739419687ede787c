"""Instances from Orthanc to files: each whole, or not there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common.durable import disk_errors
from common.errors import OrthancUnavailableError
from common.orthanc.archive import fetch_archive
from common.orthanc.client import InstanceInfo, OrthancClient

_PIECE = 1024 * 1024
_REFUSED = "The work folder refused a file"


class InstanceFiles:
    """The files of one download; thread-safe for different instances.

    ``check`` is called between two pieces and raises where the download shall end.
    """

    def __init__(
        self,
        client: OrthancClient,
        targets: Mapping[InstanceInfo, Path],
        check: Callable[[], None],
    ) -> None:
        self._client = client
        self._targets = targets
        self._check = check
        self._verify_md5 = client.transport.settings.verify_md5

    def is_whole(self, item: InstanceInfo) -> bool:
        """Whether the file is there, in its full size."""
        try:
            return self._targets[item].stat().st_size == item.size_bytes
        except FileNotFoundError:
            return False

    def head(self, item: InstanceInfo, size: int) -> bytes:
        """The first bytes of a file that is there."""
        with disk_errors(_REFUSED), self._targets[item].open("rb") as file:
            return file.read(size)

    def fetch_one(self, item: InstanceInfo) -> None:
        """Fetch one instance.

        Raises
        ------
        OrthancUnavailableError
            It came with another size or, where that is checked, with another MD5.
        LocalDiskError
            The disk refused a write.
        """
        part = self._targets[item].with_suffix(".part")
        size = 0
        with (
            disk_errors(_REFUSED),
            self._client.instance_pieces(item.orthanc_id) as pieces,
            part.open("wb") as file,
        ):
            for piece in pieces:
                self._check()
                size += file.write(piece)
        if size != item.size_bytes:
            raise OrthancUnavailableError(
                f"An instance arrived with {size} of {item.size_bytes} bytes."
            )
        self._keep(item, part)

    def fetch_archive(
        self, items: Sequence[InstanceInfo], arrived: Callable[[InstanceInfo], None]
    ) -> None:
        """Fetch several as one archive; raises as :meth:`fetch_one`, and what came is kept."""

        def keep(item: InstanceInfo, path: Path) -> None:
            self._check()
            self._keep(item, path)
            arrived(item)

        folder = self._targets[items[0]].parent
        with disk_errors(_REFUSED):
            fetch_archive(self._client, items, folder, keep, self._check)

    def _keep(self, item: InstanceInfo, path: Path) -> None:
        if self._verify_md5 and _md5(path) != self._client.instance_md5(item.orthanc_id):
            raise OrthancUnavailableError("An instance arrived with another MD5 than Orthanc's.")
        with disk_errors(_REFUSED):
            path.replace(self._targets[item])


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with disk_errors(_REFUSED), path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
