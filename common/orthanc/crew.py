"""The threads of a download and what they still have to do.

What breaks off is asked for again alone, a few times; the first error that means more ends
the download. A stop does not wait for an answer that hangs: the threads are left behind, and
what they still receive counts for nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import (
    FixConfigurationError,
    OrthancRefusedError,
    OrthancUnavailableError,
    TransientError,
)
from common.orthanc.choice import Probe
from common.orthanc.client import InstanceInfo, OrthancClient
from common.orthanc.files import InstanceFiles

MOST_TRIES = 3
"""How often one instance is asked for, and for each connection how many answers in a row may
break; the transport repeats each request besides."""

MOST_SILENCE = 2.0
"""Read time-outs without a byte on any connection: the transport would try far longer."""

ARCHIVES_PER_CONNECTION = 2
"""In all: a cut costs little, and the last ones end together."""

MOST_ARCHIVE_BYTES = 32 * 1024 * 1024
"""Of the files in one archive."""

LOOK_EVERY = 0.1
"""Seconds between two looks whether the agent stops."""

Progress = Callable[[int, int], None]
"""Called with instances done and instances in all; from several threads, one at a time."""


@dataclass(frozen=True)
class _Task:
    """Something for one thread: an instance, or several as an archive."""

    items: tuple[InstanceInfo, ...]
    as_archive: bool = False


class Crew:
    """Brings every instance of ``targets`` that is not whole to its file; used once."""

    def __init__(
        self,
        client: OrthancClient,
        targets: Mapping[InstanceInfo, Path],
        *,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._settings = client.transport.settings
        self._files = InstanceFiles(client, targets, self._check)
        self._progress = progress
        self._stop = stop
        missing = [item for item in targets if not self._files.is_whole(item)]
        self._total = len(targets)
        self._done = self._total - len(missing)
        self._tries: Counter[InstanceInfo] = Counter()
        self._tasks = deque(_Task((item,)) for item in missing)
        self._probe = Probe(missing, connections=self._settings.connections)
        self._in_hand = 0
        self._broken_in_a_row = 0
        self._heard_at = time.monotonic()
        self._error: Exception | None = None
        self._change = threading.Condition(threading.RLock())
        if self._settings.transfer == "archive":
            self._bundle()

    def run(self) -> None:
        """Bring all; returns when all is there.

        Raises
        ------
        TransientError
            ``stopping``; ``series-changing``: an instance was deleted meanwhile.
        SegRelayError
            As the client; LocalDiskError where the disk refused a write.
        """
        for _ in range(min(self._settings.connections, len(self._tasks))):
            threading.Thread(target=self._work, name="download", daemon=True).start()
        with self._change:
            while self._error is None and (self._tasks or self._in_hand):
                self._change.wait(LOOK_EVERY)
                self._error = self._error or self._reason_to_end()
            self._change.notify_all()
            if self._error is not None:
                raise self._error
            self._progress(self._total, self._total)

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
            except OrthancUnavailableError as error:
                self._put_back(task, error)
            except Exception as error:
                self._end(error)
            with self._change:
                self._in_hand -= 1
                self._change.notify_all()

    def _take(self) -> _Task | None:
        with self._change:
            # What another thread has in hand may come back.
            while self._error is None and not self._tasks and self._in_hand:
                self._change.wait()
            if self._error is not None or not self._tasks:
                return None
            self._in_hand += 1
            return self._tasks.popleft()

    def _carry(self, task: _Task) -> None:
        if task.as_archive:
            self._carry_archive(task)
            return
        (item,) = task.items
        try:
            self._files.fetch_one(item)
        except OrthancRefusedError as error:
            if error.code != "orthanc-not-found":
                raise
            raise TransientError(
                "An instance was deleted during the download.", code="series-changing"
            ) from None
        self._note(item)
        if self._settings.transfer == "auto":
            self._reconsider()

    def _carry_archive(self, task: _Task) -> None:
        try:
            self._files.fetch_archive(task.items, self._note)
        except (OrthancRefusedError, FixConfigurationError):
            # Gone, or no archives for this account: asked for one by one, each will tell.
            self._put_back(task, None)
            return
        # A member that is none of these, or of another size, was passed over.
        error = OrthancUnavailableError("An archive of Orthanc's lacks instances.")
        self._put_back(task, error)

    def _put_back(self, task: _Task, error: OrthancUnavailableError | None) -> None:
        """Let what a task did not bring be asked for one by one; counted where it broke."""
        with self._change:
            left = [item for item in task.items if not self._files.is_whole(item)]
            # Last: the line may be better by then.
            self._tasks.extend(_Task((item,)) for item in left)
            if error is None or not left:
                return
            self._tries.update(left)
            self._broken_in_a_row += 1
            if (
                self._broken_in_a_row >= MOST_TRIES * self._settings.connections
                or max(self._tries[item] for item in left) >= MOST_TRIES
            ):
                self._end(error)

    def _note(self, item: InstanceInfo) -> None:
        with self._change:
            self._probe.note(item)
            self._done += 1
            self._broken_in_a_row = 0
            if self._error is None:
                self._progress(self._done, self._total)

    def _reconsider(self) -> None:
        """Once enough has come one by one, see whether the rest should come as archives."""
        if self._probe.is_due() and self._probe.prefers_archives(self._files.head):
            with self._change:
                self._bundle()

    def _bundle(self) -> None:
        """Turn the tasks that nobody has begun into archives."""
        items = [item for task in self._tasks for item in task.items]
        self._tasks.clear()
        most = max(1, -(-len(items) // (self._settings.connections * ARCHIVES_PER_CONNECTION)))
        batch: list[InstanceInfo] = []
        size = 0
        for item in items:
            if batch and (len(batch) == most or size + item.size_bytes > MOST_ARCHIVE_BYTES):
                self._tasks.append(_Task(tuple(batch), as_archive=True))
                batch, size = [], 0
            batch.append(item)
            size += item.size_bytes
        if batch:
            self._tasks.append(_Task(tuple(batch), as_archive=True))

    def _check(self) -> None:
        """Something came; end that answer when the download has ended or shall."""
        self._heard_at = time.monotonic()
        if self._error is not None or self._stop.is_set():
            raise TransientError("The agent is stopping.", code="stopping")

    def _end(self, error: Exception) -> None:
        with self._change:
            self._error = self._error or error
