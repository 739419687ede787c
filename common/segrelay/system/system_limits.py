"""Limits of the computer that are behind a failure: open files, processes, memory, sizes of files.

A process that may open no more files fails everywhere at once: at the disk, at the network, at the
queue. None of these is to blame, and waiting for them does not help; the limit's name does.
Source: getrlimit(2), systemd.exec(5), https://docs.docker.com/reference/cli/docker/container/run/
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from segrelay.errors import LimitReachedError
from segrelay.system.causes import causes

ENOUGH_OPEN_FILES = 4096
"""What the soft limit is raised to, where the hard one allows it; an agent needs some dozens."""

_NO_THREAD = "can't start new thread"
"""The interpreter's words for a thread that the system refused."""

_WINDOWS_OPEN_FILES = 10024
"""``WSAEMFILE``: sockets."""


@dataclass(frozen=True, kw_only=True)
class ReachedLimit:
    """A limit, and the settings that raise it."""

    message: str
    remedy: str


_OPEN_FILES = ReachedLimit(
    message="This program may open no more files and connections.",
    remedy="Raise its limit of open files: ulimit -n 4096 in the shell, LimitNOFILE=4096 in the "
    "service's unit, --ulimit nofile=4096 of a container. It is retried automatically.",
)
_OPEN_FILES_OF_ALL = ReachedLimit(
    message="All programs of this computer together may open no more files.",
    remedy="End programs that hold many open files (lsof), or raise fs.file-max. It is retried "
    "automatically.",
)
_PROCESSES = ReachedLimit(
    message="This program may start no more processes and threads.",
    remedy="Raise the limit: ulimit -u in the shell, TasksMax= or LimitNPROC= in the service's "
    "unit, --pids-limit of a container. It is retried automatically.",
)
_MEMORY = ReachedLimit(
    message="This computer gives the program no more memory.",
    remedy="Close other programs, or raise the limit: ulimit -v in the shell, MemoryMax= in the "
    "service's unit, --memory of a container. It is retried automatically.",
)
_FILE_SIZE = ReachedLimit(
    message="This program may write no larger files.",
    remedy="Raise the limit: ulimit -f in the shell, LimitFSIZE= in the service's unit; or use a "
    "file system that takes larger files. It is retried automatically.",
)

_BY_NUMBER: Mapping[int, ReachedLimit] = {
    errno.EMFILE: _OPEN_FILES,
    _WINDOWS_OPEN_FILES: _OPEN_FILES,
    errno.ENFILE: _OPEN_FILES_OF_ALL,
    errno.ENOMEM: _MEMORY,
    errno.EFBIG: _FILE_SIZE,
}


def reached_limit(error: BaseException, *, starts_process: bool = False) -> ReachedLimit | None:
    """The limit behind an error, whatever a library has wrapped around it; None for other errors.

    Parameters
    ----------
    starts_process:
        Whether a process was to be started: only then EAGAIN means that there may be no more.
    """
    for cause in causes(error):
        if isinstance(cause, MemoryError):
            return _MEMORY
        if isinstance(cause, RuntimeError) and _NO_THREAD in str(cause):
            return _PROCESSES
        if isinstance(cause, OSError):
            if starts_process and cause.errno == errno.EAGAIN:
                return _PROCESSES
            found = _BY_NUMBER.get(cause.errno or 0)
            if found is not None:
                return found
    return None


def raise_if_limit(error: BaseException, *, starts_process: bool = False) -> None:
    """Say that a limit is reached, where it is; to be called before anything else is blamed.

    Raises
    ------
    LimitReachedError
        A limit is behind ``error``.
    """
    limit = reached_limit(error, starts_process=starts_process)
    if limit is not None:
        raise LimitReachedError(limit.message, remedy=limit.remedy) from error


def raise_open_files_limit() -> None:
    """Let this process open as many files as its hard limit allows, up to a sensible number.

    Login shells and containers often start a program with a soft limit that is far below. Where
    the system refuses, everything stays as it is.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_OPEN_FILES if hard == resource.RLIM_INFINITY else min(ENOUGH_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return
