"""The bell rings when a job arrives, also after the directory was taken away and made again."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.events import FileSystemEventHandler

from lab_side.agent.doorbells.directory import DirectoryDoorbell, new_observer
from segrelay import names
from segrelay.bucket.local import LocalBucket
from segrelay.queue import SiteQueue
from tests.support.jobs import make_manifest

LIMIT = 20.0
"""Seconds to wait for a bell; a polling one looks every second."""


@pytest.fixture(params=[False, True], ids=["native", "polling"])
def polling(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def rang() -> threading.Event:
    return threading.Event()


@pytest.fixture
def doorbell(tmp_path: Path, rang: threading.Event, polling: bool) -> Iterator[DirectoryDoorbell]:
    bell = DirectoryDoorbell(tmp_path, rang, polling=polling)
    bell.supervise()
    yield bell
    bell.close()


@pytest.mark.usefixtures("doorbell")
def test_a_submitted_job_rings(tmp_path: Path, rang: threading.Event) -> None:
    SiteQueue(LocalBucket(tmp_path)).submit(make_manifest())
    assert rang.wait(LIMIT)


def test_it_rings_again_after_the_folder_was_removed_and_made_again(
    tmp_path: Path, rang: threading.Event, doorbell: DirectoryDoorbell
) -> None:
    shutil.rmtree(tmp_path / names.PENDING)
    site = SiteQueue(LocalBucket(tmp_path))
    deadline = time.monotonic() + LIMIT
    while not rang.is_set():
        assert time.monotonic() < deadline, "the bell never rang again"
        # As the agent does: a look at the emitters at every scan, jobs arriving meanwhile.
        doorbell.supervise()
        site.submit(make_manifest())
        rang.wait(0.2)


def test_a_file_that_is_read_or_removed_does_not_ring(
    tmp_path: Path, rang: threading.Event, doorbell: DirectoryDoorbell
) -> None:
    bucket = LocalBucket(tmp_path)
    name = SiteQueue(bucket).submit(make_manifest())
    assert rang.wait(LIMIT)
    doorbell.close()
    rang.clear()
    doorbell.supervise()
    bucket.read(name.pending, limit=10)
    bucket.delete(name.pending, generation=bucket.stat(name.pending).generation)
    assert not rang.wait(1.5)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_a_claim_is_not_told_and_so_holds_no_arrival_back(tmp_path: Path) -> None:
    from watchdog.observers.inotify import InotifyEmitter
    from watchdog.observers.inotify_c import InotifyConstants

    observer = new_observer(polling=False)
    observer.schedule(FileSystemEventHandler(), str(tmp_path))
    observer.start()
    try:
        (emitter,) = observer.emitters
        assert isinstance(emitter, InotifyEmitter)
        mask = emitter.get_event_mask_from_filter()
        assert not mask & InotifyConstants.IN_MOVED_FROM
        assert mask & InotifyConstants.IN_MOVED_TO
    finally:
        observer.stop()
        observer.join()
