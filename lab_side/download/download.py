"""Whole series from Orthanc to a folder: complete, or an error that says what is missing."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_side.download.download_pool import DownloadPool, Progress
from lab_side.download.files import InstanceFiles
from lab_side.download.inventory import Choose, Inventory
from lab_side.download.whole_series import WholeSeries
from segrelay.orthanc.answers import InstanceInfo
from segrelay.orthanc.client import OrthancClient
from segrelay.system.durable import disk_errors


@dataclass(frozen=True, kw_only=True)
class DownloadedSeries:
    """One series on disk."""

    instances: tuple[InstanceInfo, ...]
    """What the inventory says was fetched; the reader of the files compares."""
    files: tuple[Path, ...]
    """One for each instance."""

    @property
    def sop_instance_uids(self) -> frozenset[str]:
        """SOP Instance UIDs of the instances."""
        return frozenset(item.sop_instance_uid for item in self.instances)


def download_series(
    client: OrthancClient,
    series_ids: Sequence[str],
    folder: Path,
    *,
    expected: Mapping[str, int | None],
    progress: Progress,
    stop: threading.Event,
    choose: Choose | None = None,
) -> dict[str, DownloadedSeries]:
    """Fetch every instance of the series into ``folder``; files there already are reused.

    ``expected`` is the number of instances that the site saw, by series; ``choose`` leaves
    instances out.

    Raises
    ------
    SeriesRefusedError
        ``series-missing``, ``series-incomplete``: Orthanc has another number than expected.
    TransientError
        ``series-changing``: an instance was added, deleted or replaced meanwhile; ``stopping``.
    LocalDiskError
        The disk refused a write.

    And as ``choose`` and the client.
    """
    with disk_errors("No folder for the series"):
        folder.mkdir(parents=True, exist_ok=True)
    files = InstanceFiles(client, folder)
    inventory = Inventory(client, series_ids, expected, choose)
    DownloadPool(
        client.transport.settings,
        inventory,
        files,
        WholeSeries(client),
        progress=progress,
        stop=stop,
    ).run()
    return {
        series_id: DownloadedSeries(
            instances=tuple(inventory.instances(series_id)),
            files=tuple(files.path(item) for item in inventory.instances(series_id)),
        )
        for series_id in inventory.series_ids
    }
