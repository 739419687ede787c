"""Whole series from Orthanc to a folder: complete, or an error that says what is missing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from common.errors import (
    LocalDiskError,
    OrthancRefusedError,
    OrthancUnavailableError,
    SeriesRefusedError,
    TransientError,
)
from common.orthanc.client import InstanceInfo, OrthancClient

PASSES = 3
"""How often what is still missing is asked for again after broken transfers."""

Progress = Callable[[int, int], None]
"""Called with instances done and instances in all; from several threads."""


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
        ``series-changing``: the inventory changed meanwhile; and as the client.
    """
    inventory = client.inventory(series_ids)
    _check_expected(inventory, expected)
    folder.mkdir(parents=True, exist_ok=True)
    targets = {item: folder / f"{item.orthanc_id}.dcm" for item in inventory}
    _fetch_missing(client, targets, progress, stop)
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


def _fetch_missing(
    client: OrthancClient,
    targets: Mapping[InstanceInfo, Path],
    progress: Progress,
    stop: threading.Event,
) -> None:
    for last in (number == PASSES for number in range(1, PASSES + 1)):
        missing = [item for item, path in targets.items() if not _is_whole(item, path)]
        if not missing:
            break
        try:
            _fetch(client, missing, targets, progress, stop)
        except OrthancUnavailableError:
            if last:
                raise
    progress(len(targets), len(targets))


def _fetch(
    client: OrthancClient,
    missing: Sequence[InstanceInfo],
    targets: Mapping[InstanceInfo, Path],
    progress: Progress,
    stop: threading.Event,
) -> None:
    """Fetch in parallel; the first error ends the pass."""
    done = len(targets) - len(missing)
    lock = threading.Lock()
    ended = threading.Event()

    def fetch_one(item: InstanceInfo) -> None:
        nonlocal done
        if ended.is_set():
            return
        if stop.is_set():
            raise TransientError("The agent is stopping.", code="stopping")
        _fetch_file(client, item, targets[item])
        with lock:
            done += 1
            progress(done, len(targets))

    with ThreadPoolExecutor(client.transport.settings.connections) as pool:
        futures = [pool.submit(fetch_one, item) for item in missing]
        wait(futures, return_when=FIRST_EXCEPTION)
        ended.set()
    for future in futures:
        future.result()


def _fetch_file(client: OrthancClient, item: InstanceInfo, path: Path) -> None:
    part = path.with_suffix(".part")
    try:
        with (
            client.transport.stream("GET", f"/instances/{item.orthanc_id}/file") as response,
            part.open("wb") as file,
        ):
            size = 0
            for piece in client.transport.pieces(response):
                size += file.write(piece)
    except OrthancRefusedError as error:
        if error.code != "orthanc-not-found":
            raise
        raise TransientError(
            "An instance was deleted during the download.", code="series-changing"
        ) from None
    except OSError as error:
        raise LocalDiskError(f"The work folder refused a write ({error.strerror}).") from error
    if size != item.size_bytes:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        raise OrthancUnavailableError(
            f"An instance arrived with {size} of {item.size_bytes} bytes."
        )
    part.replace(path)


def _is_whole(item: InstanceInfo, path: Path) -> bool:
    try:
        return path.stat().st_size == item.size_bytes
    except FileNotFoundError:
        return False
