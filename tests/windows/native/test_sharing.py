"""What Windows refuses while somebody looks; run by the Python of Windows."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import win32con
import win32file

from lab_side.agent.health.control import (
    PAUSE_FILE,
    ControlWatch,
    Drain,
    Pause,
    order_drain,
    pause,
    standing_pause,
)
from segrelay.bucket.local import LocalBucket
from segrelay.errors import StoreUnavailableError
from segrelay.manifest import utc_now
from segrelay.retry import SHARING_VIOLATION
from segrelay.system.durable import write_durably

HOLD_S = 0.6
"""As long as a virus scanner may look at a file."""


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """The file, opened by somebody who lets nobody else have it."""
    handle = win32file.CreateFile(
        str(path), win32con.GENERIC_READ, 0, None, win32con.OPEN_EXISTING, 0, None
    )
    try:
        yield
    finally:
        handle.Close()


@contextlib.contextmanager
def held_for_a_while(path: Path) -> Iterator[None]:
    """The same in another thread, until :data:`HOLD_S` is over."""
    taken = threading.Event()

    def hold() -> None:
        with held(path):
            taken.set()
            time.sleep(HOLD_S)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(60)
    try:
        yield
    finally:
        thread.join()


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "queue")


def test_an_open_file_is_really_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with held(path):
        with pytest.raises(PermissionError):
            path.rename(tmp_path / "other")
        with pytest.raises(PermissionError):
            path.unlink()
        with pytest.raises(PermissionError):
            path.read_bytes()


def test_a_move_waits_for_who_looks_at_the_file(bucket: LocalBucket) -> None:
    info = bucket.create("a/one", b"data")
    with held_for_a_while(bucket.root / "a" / "one"):
        bucket.move("a/one", "b/one", generation=info.generation)
    assert bucket.read("b/one", limit=10) == b"data"
    assert [item.name for item in bucket.list("")] == ["b/one"]


def test_a_delete_a_read_and_a_beat_wait_as_well(bucket: LocalBucket) -> None:
    info = bucket.create("a/one", b"data")
    with held_for_a_while(bucket.root / "a" / "one"):
        assert bucket.read("a/one", limit=10) == b"data"
    with held_for_a_while(bucket.root / "a" / "one"):
        bucket.delete("a/one", generation=info.generation)
    lit = bucket.take_over("agents/lab", {"n": "1"}, generation=0)
    with held_for_a_while(bucket.root / "agents" / "lab"):
        bucket.refresh("agents/lab", {"n": "2"}, generation=lit.generation)
    assert bucket.read_heartbeat("agents/lab").metadata == {"n": "2"}


def test_the_waiting_has_an_end_and_nothing_is_lost(bucket: LocalBucket) -> None:
    info = bucket.create("a/one", b"data")
    began = time.monotonic()
    with held(bucket.root / "a" / "one"), pytest.raises(StoreUnavailableError):
        bucket.move("a/one", "b/one", generation=info.generation)
    assert time.monotonic() - began >= SHARING_VIOLATION.tries * SHARING_VIOLATION.first * 0.9
    assert [item.name for item in bucket.list("")] == ["a/one"]


def test_a_file_is_put_in_place_once_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"one")
    with held_for_a_while(path):
        write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_pause_that_is_looked_at_is_no_end_of_the_pause(tmp_path: Path) -> None:
    told: list[Pause | None] = []
    watch = ControlWatch(tmp_path, on_pause=told.append, on_drain=lambda _order: None)
    order = Pause(at=utc_now(), reason="Kim trains", until=utc_now() + timedelta(hours=1))
    pause(tmp_path, order)
    watch._poll()
    with held_for_a_while(tmp_path / PAUSE_FILE):
        watch._poll()
    assert told == [order]
    assert standing_pause(tmp_path) == order


def test_a_drain_order_is_taken_once_it_is_let_go(tmp_path: Path) -> None:
    told: list[Drain] = []
    watch = ControlWatch(tmp_path, on_pause=lambda _order: None, on_drain=told.append)
    path = order_drain(tmp_path, Drain(at=utc_now()))
    with held_for_a_while(path):
        watch._poll()
    watch._poll()
    assert len(told) == 1
    assert not path.exists()
