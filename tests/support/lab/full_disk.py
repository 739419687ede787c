"""A disk that is full at the n-th write of a job, for one process.

Audit hooks see files being opened for writing, made and renamed; writing to an open file,
flushing it and flushing it to the disk raise no audit event, so the file objects and
``os.fsync`` are wrapped. A write that fails has written half of its bytes, as on a real disk.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

FULL_EVENT = "test: disk full"
"""In a process's log, once for each write that was refused."""

WORKER_VARIABLE = "SEGRELAY_TEST_FULL_DISK"
"""Where the worker finds its own :class:`FullDisk`."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class FullDisk(BaseModel):
    """When the disk is full: at the ``first``-th write of the first job, ``step`` writes later
    in the second job, and so on; then for ``length`` writes. Later attempts are spared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path
    """Only files below it are on this disk."""
    first: int
    step: int = 1
    length: int = 1


class FailingDisk:
    """Refuses writes of this process as ordered."""

    def __init__(self, order: FullDisk) -> None:
        self._order = order
        self._folder = f"{order.folder}{os.sep}"
        self._lock = threading.Lock()
        self._reporting = threading.local()
        self._jobs: list[str] = []
        self._writes: int | None = None
        """Of this job so far; None outside of a first attempt."""

    def install(self) -> None:
        """Stand between this process and its disk."""
        real_open, real_fsync = io.open, os.fsync

        def open_(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            opened = real_open(file, mode, *arguments, **options)
            if set(mode) & set("wax+") and self._is_here(file):
                return _File(opened, str(file), self)
            return opened

        def fsync(handle: int) -> None:
            self.write("fsync", os.readlink(f"/proc/self/fd/{handle}"))
            real_fsync(handle)

        io.open = open_
        os.fsync = fsync  # type: ignore[assignment]
        sys.addaudithook(self._on_event)

    def begin(self, job_id: str) -> None:
        """A job's writes begin."""
        with self._lock:
            self._writes = None if job_id in self._jobs else 0
            self._jobs.append(job_id)

    def write(self, what: str, path: Any) -> None:
        """A write is about to happen: let it, or raise OSError."""
        if not self._is_here(path) or getattr(self._reporting, "is_on", False):
            return
        with self._lock:
            if self._writes is None:
                return
            self._writes += 1
            start = self._order.first + self._order.step * (len(set(self._jobs)) - 1)
            if not start <= self._writes < start + self._order.length:
                return
            job = self._jobs[-1]
        self._report(job, what, str(path))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _mode, flags = arguments
            # Opening a lock that is there takes no space.
            if flags & _WRITING and not (str(path).endswith(".lock") and os.path.exists(path)):
                self.write("open", path)
        elif event in ("os.rename", "os.mkdir"):
            self.write(event, arguments[1] if event == "os.rename" else arguments[0])

    def _is_here(self, path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(self._folder)

    def _report(self, job: str, what: str, path: str) -> None:
        self._reporting.is_on = True
        where = path.removeprefix(self._folder)
        # As a line of the log: of a worker's, nothing else is passed on.
        line = {"time": "", "level": "warning", "event": FULL_EVENT}
        line |= {"job": job, "what": what, "path": where}
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()
        self._reporting.is_on = False


class _File:
    """An open file on the failing disk."""

    def __init__(self, file: Any, path: str, disk: FailingDisk) -> None:
        self._file = file
        self._path = path
        self._disk = disk

    def write(self, data: Any) -> int:
        try:
            self._disk.write("write", self._path)
        except OSError:
            self._file.write(data[: len(data) // 2])
            raise
        written: int = self._file.write(data)
        return written

    def flush(self) -> None:
        self._disk.write("flush", self._path)
        self._file.flush()

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
