"""The lock of a directory: one holder at a time, thread or process, and none that is dead."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from filelock import FileLock, Timeout, lock_descriptor

from segrelay.bucket import folder_lock
from segrelay.bucket.folder_lock import locked
from segrelay.errors import StoreUnavailableError

THREADS = 4
ROUNDS = 200
HANG_LIMIT = 120.0

posix = pytest.mark.skipif(os.name != "posix", reason="Windows keeps a file that is open")


@pytest.fixture
def lock(tmp_path: Path) -> str:
    return str(tmp_path / ".lock")


def hold(path: str, told: Connection) -> None:
    """Take the lock, say so, and keep it until killed."""
    with locked(path):
        told.send(True)
        threading.Event().wait()


def test_threads_of_one_process_exclude_each_other(lock: str) -> None:
    holders, most = 0, 0

    def work() -> None:
        nonlocal holders, most
        for _ in range(ROUNDS):
            with locked(lock):
                holders += 1
                most = max(most, holders)
                os.stat(lock)
                holders -= 1

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_LIMIT)
    assert not any(thread.is_alive() for thread in threads)
    assert most == 1


@pytest.mark.process
def test_a_holder_that_is_killed_holds_nothing(lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("spawn")
    hears, told = context.Pipe(duplex=False)
    holder = context.Process(target=hold, args=(lock, told))
    holder.start()
    try:
        assert hears.poll(HANG_LIMIT)
        with monkeypatch.context() as patch:
            patch.setattr(folder_lock, "LOCK_TIMEOUT", 0.05)
            with pytest.raises(StoreUnavailableError, match="locked"), locked(lock):
                pass
    finally:
        holder.kill()
        holder.join()
    with locked(lock):
        pass


def test_it_is_free_again_after_an_error(lock: str) -> None:
    with contextlib.suppress(KeyError), locked(lock):
        raise KeyError
    with locked(lock):
        pass


def test_an_agent_that_locks_the_file_by_its_path_is_kept_out(lock: str) -> None:
    with locked(lock), pytest.raises(Timeout):
        FileLock(lock, timeout=0).acquire()
    with FileLock(lock, timeout=0):
        pass


@posix
def test_a_file_that_is_removed_while_it_is_taken_is_not_the_lock(
    lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[int] = []

    def remove_once(handle: int, *, blocking: bool) -> bool:
        if not removed:
            os.unlink(lock)
            removed.append(handle)
        return lock_descriptor(handle, blocking=blocking)

    monkeypatch.setattr(folder_lock, "lock_descriptor", remove_once)
    with locked(lock), pytest.raises(Timeout):
        FileLock(lock, timeout=0).acquire()


def test_no_file_stays_open(lock: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with locked(lock):
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before


@posix
def test_a_copy_that_a_forked_child_keeps_holds_nothing(lock: str) -> None:
    with locked(lock):
        (handle,) = [
            int(name)
            for name in os.listdir("/proc/self/fd")
            if os.path.realpath(f"/proc/self/fd/{name}") == os.path.realpath(lock)
        ]
        copy = os.dup(handle)
    try:
        with FileLock(lock, timeout=0):
            pass
    finally:
        os.close(copy)
