"""Whole series from Orthanc to a folder: complete, or an error that says what is missing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.durable import disk_errors
from common.errors import SeriesRefusedError, TransientError
from common.orthanc.client import InstanceInfo, OrthancClient
from common.orthanc.crew import Crew, Progress


@dataclass(frozen=True, kw_only=True)
class DownloadedSeries:
    """One series on disk."""

    files: tuple[Path, ...]
    sop_instance_uids: frozenset[str]
    """What the inventory says they are; whoever opens the files compares."""


def download_series(
    client: OrthancClient,
    series_ids: Sequence[str],
    folder: Path,
    *,
    expected: Mapping[str, int | None],
    progress: Progress,
    stop: threading.Event,
) -> dict[str, DownloadedSeries]:
    """Fetch every instance of the series into ``folder``; files there already are reused.

    ``expected`` is the number of instances that the site saw, by series.

    Raises
    ------
    SeriesRefusedError
        ``series-missing``, ``series-incomplete``: Orthanc has fewer than expected.
    TransientError
        ``series-changing``: an instance was added, deleted or replaced meanwhile; ``stopping``.
    LocalDiskError
        The disk refused a write.

    And as the client.
    """
    inventory = client.inventory(series_ids)
    _check_expected(inventory, expected)
    with disk_errors("No folder for the series"):
        folder.mkdir(parents=True, exist_ok=True)
    targets = {item: folder / f"{item.orthanc_id}.dcm" for item in inventory}
    Crew(client, targets, progress=progress, stop=stop).run()
    if set(client.inventory(series_ids)) != set(inventory):
        raise TransientError("The series changed during the download.", code="series-changing")
    return {
        series_id: DownloadedSeries(
            files=tuple(path for item, path in targets.items() if item.series_id == series_id),
            sop_instance_uids=frozenset(
                item.sop_instance_uid for item in inventory if item.series_id == series_id
            ),
        )
        for series_id in series_ids
    }


def _check_expected(inventory: Iterable[InstanceInfo], expected: Mapping[str, int | None]) -> None:
    counts: dict[str, int] = {}
    for item in inventory:
        counts[item.series_id] = counts.get(item.series_id, 0) + 1
    for series_id, count in expected.items():
        if count is not None and counts[series_id] != count:
            raise SeriesRefusedError(
                f"Series {series_id} has {counts[series_id]} instances in Orthanc; "
                f"{count} when it was submitted.",
                code="series-incomplete",
                remedy="Wait until the scanner has sent everything, then submit again.",
            )
