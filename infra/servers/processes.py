"""Child processes that never outlive the program that started them.

Each child gets its own session, so a Ctrl-C at the terminal reaches only the starter, which
then ends its children in order: SIGTERM, a grace time, SIGKILL; and all they started as well.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

import psutil

GRACE_S = 10.0
"""From SIGTERM to SIGKILL, in seconds."""

LOG_TAIL_LINES = 15

POLL_S = 0.03
"""Between two looks whether a server that was started answers."""


@dataclass(frozen=True)
class Child:
    """One running child and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def log_tail(self) -> str:
        """The last lines of its output, for an error message."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])


def _start(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **environment},
            start_new_session=True,
        )


class ProcessSet:
    """The children of one program; a context manager that ends them in reverse order."""

    def __init__(self) -> None:
        self._children: list[Child] = []
        atexit.register(self.stop_all)

    def __enter__(self) -> ProcessSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()
        atexit.unregister(self.stop_all)

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Child:
        """Start ``command`` in its own session, its output appended to ``log``.

        ``environment`` is added to this program's own; secrets travel there, never in
        ``command``, which every user of the machine can read.
        """
        child = Child(name, _start(command, log, environment or {}, folder), log)
        self._children.append(child)
        return child

    def dead(self) -> list[Child]:
        """Children that ended although nobody stopped them."""
        return [child for child in self._children if child.process.poll() is not None]

    def stop_all(self) -> None:
        """End every child, the last started first; safe to call again."""
        while self._children:
            stop_process(self._children.pop().process)


class LoopbackServer(ABC):
    """One server process with a folder of its own; a context manager that ends it and its files.

    What the program prints is in ``output.log`` of the folder.
    """

    def __init__(self, name: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=f"segrelay-{name}-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Of our process, which runs."""
        if self._process is None:
            raise RuntimeError("start the server first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether our process is alive."""
        return self._process is not None and self._process.poll() is None

    @abstractmethod
    def start(self) -> None:
        """Start and wait until our own process answers."""

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Close it properly; its files are kept for the next :meth:`start`."""
        if self._process is not None:
            stop_process(self._process, grace_s=grace_s)
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _launch(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        answers: Callable[[], bool],
        limit_s: float,
    ) -> bool:
        """Start ``command``; False where it ended, or did not answer in time."""
        self._process = _start(command, self._folder / "output.log", environment)
        deadline = time.monotonic() + limit_s
        while self.running and time.monotonic() < deadline:
            if answers():
                return True
            time.sleep(POLL_S)
        self.kill()
        return False

    def _last_line(self, log: str = "output.log") -> str:
        lines = (self._folder / log).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"


def stop_process(process: subprocess.Popen[bytes], *, grace_s: float = GRACE_S) -> None:
    """SIGTERM, wait ``grace_s`` seconds, then SIGKILL for it and all its descendants."""
    family = _descendants(process.pid) if process.poll() is None else []
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    _kill_group(process.pid)
    for member in family:
        # A worker may have left the group for a session of its own.
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
    psutil.wait_procs(family, timeout=grace_s)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def exit_on_termination() -> None:
    """Turn SIGTERM, SIGHUP and Ctrl-C into exceptions, so that context managers clean up."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)
    # A shell starts background programs with SIGINT ignored, and Python leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
