"""The threads of a download and what they still have to do.

The inventory of a series is taken, its instances are fetched, and once all are there the inventory
is taken again, while other series still come: so nothing waits for a list. What breaks off is
fetched again alone, a few times; the first error that means more ends the download. A stop does
not wait for an answer that hangs: the threads are left behind, and what they still receive is
ignored.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lab_side.download.files import InstanceFiles
from lab_side.download.inventory import Inventory
from lab_side.download.transfer_mode import Estimate
from lab_side.download.whole_series import LEAST_INSTANCES, WholeSeries
from segrelay import retry
from segrelay.errors import (
    FixConfigurationError,
    OrthancNotFoundError,
    OrthancRefusedError,
    OrthancUnavailableError,
    TransientError,
)
from segrelay.orthanc.answers import InstanceInfo, SeriesInfo
from segrelay.orthanc.settings import OrthancSettings

MOST_SILENCE = 2.0
"""Read time-outs without a byte on any connection: the transport would try far longer."""

ARCHIVES_PER_CONNECTION = 2
"""In all: a cut costs little, and the last ones end together."""

MOST_ARCHIVE_BYTES = 32 * 1024 * 1024
"""Of the files in one archive."""

STOP_CHECK_S = 0.1
"""Seconds between two checks whether the agent stops."""

Progress = Callable[[int, int], None]
"""Called with instances done and instances in all; from several threads, one at a time."""


@dataclass(frozen=True)
class _Fetch:
    """A task of one thread: an instance, several as an archive, or a series as one answer."""

    items: tuple[InstanceInfo, ...]
    as_archive: bool = False
    series: SeriesInfo | None = None


@dataclass(frozen=True)
class _InventoryTask:
    """A task of one thread: the inventory of a series."""

    series_id: str
    is_second: bool = False


_Task = _Fetch | _InventoryTask


class DownloadPool:
    """Downloads every instance that is not complete yet, between two inventories; used once."""

    def __init__(
        self,
        settings: OrthancSettings,
        inventory: Inventory,
        files: InstanceFiles,
        whole_series: WholeSeries,
        *,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        self._inventory = inventory
        self._files = files
        self._whole_series = whole_series
        self._progress = progress
        self._stop = stop
        self._tasks: deque[_Task] = deque(_InventoryTask(one) for one in inventory.series_ids)
        self._unlisted_series = len(self._tasks)
        self._total = self._done = 0
        self._total_bytes = self._missing_bytes = 0
        self._in_archives = settings.transfer == "archive"
        self._held: deque[_Task] = deque()
        self._tries: Counter[InstanceInfo] = Counter()
        self._estimate = Estimate(connections=settings.connections)
        self._in_hand = 0
        self._broken_in_a_row = 0
        self._heard_at = time.monotonic()
        self._error: Exception | None = None
        self._change = threading.Condition(threading.RLock())

    def run(self) -> None:
        """Download all; returns when all is there and the inventory has been confirmed.

        Raises
        ------
        TransientError
            ``stopping``; ``series-changing``: an instance was added, deleted or replaced.
        SegRelayError
            As the inventory and the client; LocalDiskError where the disk refused a write.
        """
        for _ in range(self._settings.connections):
            self._start()
        with self._change:
            while self._error is None and (self._tasks or self._in_hand):
                if not self._stop.is_set():
                    self._change.wait(STOP_CHECK_S)
                self._error = self._error or self._reason_to_end()
            self._change.notify_all()
            if self._error is not None:
                # Mostly all end at once; only an answer that hangs is left behind.
                self._change.wait_for(lambda: not self._in_hand, STOP_CHECK_S)
                raise self._error
            # Somebody else's file in the folder would not have been counted.
            self._inventory.check_all_done()
            self._progress(self._total, self._total)

    def _start(self) -> threading.Thread:
        # Their log lines concern what those of this thread do.
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(self._work,), name="download", daemon=True)
        thread.start()
        return thread

    def _reason_to_end(self) -> TransientError | None:
        if self._stop.is_set():
            return TransientError("The agent is stopping.", code="stopping")
        silence = time.monotonic() - self._heard_at
        if silence > MOST_SILENCE * self._settings.read_timeout:
            return OrthancUnavailableError(f"Orthanc has sent nothing for {silence:.0f} s.")
        return None

    def _work(self) -> None:
        while (task := self._take()) is not None:
            try:
                self._carry(task)
            except Exception as error:
                self._end(error)
            with self._change:
                self._in_hand -= 1
                if not self._in_hand:
                    self._change.notify_all()

    def _take(self) -> _Task | None:
        with self._change:
            # What another thread has in hand may bring more, or come back.
            while self._error is None and not self._tasks and self._in_hand:
                self._change.wait()
            if self._error is not None or self._stop.is_set() or not self._tasks:
                return None
            self._in_hand += 1
            return self._tasks.popleft()

    def _carry(self, task: _Task) -> None:
        if isinstance(task, _InventoryTask):
            self._list_series(task)
        elif task.as_archive or task.series is not None:
            self._fetch_several(task)
        else:
            self._fetch_one(task)

    def _list_series(self, task: _InventoryTask) -> None:
        if task.is_second:
            self._inventory.second(task.series_id)
        else:
            self._add(self._inventory.first(task.series_id))
        self._heard_at = time.monotonic()

    def _add(self, items: Iterable[InstanceInfo]) -> None:
        """Queue the instances of a series that are not here yet."""
        here: list[InstanceInfo] = []
        missing: list[InstanceInfo] = []
        for item in items:
            (here if self._files.is_whole(item) else missing).append(item)
        with self._change:
            self._missing_bytes += sum(item.size_bytes for item in missing)
            self._total_bytes += sum(item.size_bytes for item in (*here, *missing))
            self._files.check_room(self._total_bytes, self._missing_bytes)
            self._unlisted_series -= 1
            self._total += len(here) + len(missing)
            # Archives of all series at once: fewer and larger ones.
            to_come = self._held if self._in_archives else self._tasks
            to_come.extend(_Fetch((item,)) for item in missing)
            self._estimate.add(missing)
            for item in here:
                self._count(item)
            if self._in_archives and not self._unlisted_series:
                self._tasks.extend(self._held)
                self._bundle()
            self._change.notify_all()

    def _fetch_one(self, task: _Fetch) -> None:
        (item,) = task.items
        start = time.monotonic()
        try:
            self._files.fetch_one(item, self._check)
        except OrthancUnavailableError as error:
            self._put_back(task, error)
            return
        except OrthancNotFoundError:
            raise TransientError(
                "An instance was deleted during the download.", code="series-changing"
            ) from None
        seconds = time.monotonic() - start
        self._note(item)
        if self._settings.transfer == "auto":
            self._reconsider(seconds)

    def _fetch_several(self, task: _Fetch) -> None:
        # A member that is none of these, or of another size, is passed over.
        error: OrthancUnavailableError | None
        error = OrthancUnavailableError("An answer of Orthanc's lacks instances.")
        try:
            if task.series is None:
                self._files.fetch_archive(task.items, self._note, self._check)
            else:
                size = self._inventory.all_bytes(task.series.orthanc_id)
                self._files.fetch_series(task.series, task.items, size, self._note, self._check)
        except OrthancUnavailableError as broken:
            error = broken
        except (OrthancRefusedError, FixConfigurationError):
            # Gone, or not for this account: fetched one by one, each shows why.
            error = None
        self._put_back(task, error)

    def _put_back(self, task: _Fetch, error: OrthancUnavailableError | None) -> None:
        """Let what a task did not bring be asked for one by one; counted where it broke."""
        with self._change:
            left = [item for item in task.items if not self._files.is_whole(item)]
            # Last: the line may be better by then.
            self._tasks.extend(_Fetch((item,)) for item in left)
            self._change.notify_all()
            if error is None or not left:
                return
            self._tries.update(left)
            self._broken_in_a_row += 1
            if (
                self._broken_in_a_row >= retry.INSTANCE_TRIES * self._settings.connections
                or max(self._tries[item] for item in left) >= retry.INSTANCE_TRIES
            ):
                self._end(error)

    def _note(self, item: InstanceInfo) -> None:
        with self._change:
            self._estimate.note(item)
            self._broken_in_a_row = 0
            self._count(item)
            # Before all is known, the total would grow under the reader's eyes.
            if self._error is None and not self._unlisted_series:
                self._progress(self._done, self._total)

    def _count(self, item: InstanceInfo) -> None:
        """An instance is there; with the last of a series, the series is to be looked at again."""
        self._done += 1
        if self._inventory.arrived(item):
            self._tasks.appendleft(_InventoryTask(item.series_id, is_second=True))
            self._change.notify()

    def _reconsider(self, seconds: float) -> None:
        """See whether the rest should come in larger pieces, after one that took ``seconds``."""
        if self._unlisted_series:
            return
        if self._whole_series.is_due(seconds):
            found = self._whole_series.find(self._inventory.series_ids)
            with self._change:
                self._take_whole(found)
        elif self._estimate.is_due() and self._estimate.prefers_archives(self._files.head):
            with self._change:
                self._bundle()

    def _take_whole(self, found: Mapping[str, SeriesInfo]) -> None:
        """Turn the fetches that nobody has begun into one a series, where most of it is left."""
        left: dict[str, list[InstanceInfo]] = {}
        for task in self._tasks:
            if isinstance(task, _Fetch) and len(task.items) == 1:
                left.setdefault(task.items[0].series_id, []).append(task.items[0])
        whole = {
            series: tuple(left[series.orthanc_id])
            for series in found.values()
            if len(left.get(series.orthanc_id, ())) >= max(LEAST_INSTANCES, series.instances // 2)
        }
        taken = {item for items in whole.values() for item in items}
        others = [
            task
            for task in self._tasks
            if isinstance(task, _InventoryTask) or not taken.issuperset(task.items)
        ]
        self._tasks = deque(others)
        self._tasks.extend(_Fetch(items, series=series) for series, items in whole.items())

    def _bundle(self) -> None:
        """Turn the fetches that nobody has begun into archives."""
        inventories = [task for task in self._tasks if isinstance(task, _InventoryTask)]
        items = [item for task in self._tasks if isinstance(task, _Fetch) for item in task.items]
        self._tasks = deque(inventories)
        most = max(1, -(-len(items) // (self._settings.connections * ARCHIVES_PER_CONNECTION)))
        batch: list[InstanceInfo] = []
        size = 0
        for item in items:
            if batch and (len(batch) == most or size + item.size_bytes > MOST_ARCHIVE_BYTES):
                self._tasks.append(_Fetch(tuple(batch), as_archive=True))
                batch, size = [], 0
            batch.append(item)
            size += item.size_bytes
        if batch:
            self._tasks.append(_Fetch(tuple(batch), as_archive=True))

    def _check(self) -> None:
        """Something came; end that answer when the download has ended or shall."""
        self._heard_at = time.monotonic()
        if self._error is not None or self._stop.is_set():
            raise TransientError("The agent is stopping.", code="stopping")

    def _end(self, error: Exception) -> None:
        with self._change:
            self._error = self._error or error
            self._change.notify_all()
