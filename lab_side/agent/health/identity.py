"""Which process this is, and whether another process still lives.

A host name and a pid do not name a process: containers that share the host's name count their
pids each for themselves, and a pid is used again. So a process is searched only in the pid
namespace of the running system in which it began (pid_namespaces(7), and random(4) for the boot
id). Everywhere else, and where an older agent did not say, nothing is known: the lease decides.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from segrelay.queue import Identity
from segrelay.queue.lease import new_nonce

START_TOLERANCE = 2.0
"""Seconds; the start time of one process can be read differently after a clock step."""

_STAT_START = 19
"""Place of ``starttime`` in /proc/PID/stat after the command's name. proc_pid_stat(5)"""


@dataclass(frozen=True, kw_only=True)
class System:
    """Where pids can be compared; an empty field is not known."""

    host: str
    boot: str
    pid_namespace: str


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that was found by its pid."""

    started: float
    """Seconds since 1970."""
    start_ticks: int | None
    """Clock ticks since the system's start; None where the system does not say."""


class NotAllowedError(Exception):
    """The process exists, and this account may not read it."""


def this_system() -> System:
    """The system of the running process."""
    boot, namespace = _windows() if os.name == "nt" else _linux()
    return System(host=socket.gethostname(), boot=boot, pid_namespace=namespace)


def this_process() -> Identity:
    """The identity of the running process."""
    system = this_system()
    return Identity(
        instance=new_nonce(),
        host=system.host,
        pid=os.getpid(),
        pid_started=_own_start(),
        boot=system.boot,
        pid_namespace=system.pid_namespace,
        start_ticks=_start_ticks(os.getpid()) if system.pid_namespace else None,
    )


def _own_start() -> float:
    """When this process began; where the system does not say (no /proc), now."""
    try:
        return psutil.Process().create_time()
    except (psutil.Error, OSError):
        return time.time()


def is_dead(identity: Identity) -> bool:
    """Whether that process certainly ended: it ran in this system and is gone."""
    return is_gone(identity, this_system(), find_process)


def is_gone(identity: Identity, here: System, find: Callable[[int], Process | None]) -> bool:
    """Whether the process has certainly ended, seen from ``here``.

    Parameters
    ----------
    find:
        The process of a pid, None where there is none (or only its remains); raises
        NotAllowedError where this account may not read.
    """
    there = System(host=identity.host, boot=identity.boot, pid_namespace=identity.pid_namespace)
    if there != here or not (here.boot and here.pid_namespace):
        return False
    try:
        found = find(identity.pid)
    except NotAllowedError:
        return False
    if found is None:
        return True
    if found.start_ticks is not None and identity.start_ticks is not None:
        return found.start_ticks != identity.start_ticks
    return abs(found.started - identity.pid_started) > START_TOLERANCE


def find_process(pid: int) -> Process | None:
    """The process of a pid in this namespace, as :func:`is_gone` asks for it."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Process(started=process.create_time(), start_ticks=_start_ticks(pid))
    except psutil.NoSuchProcess:
        if _is_hidden(pid):
            raise NotAllowedError from None
        return None
    except (psutil.AccessDenied, OSError):
        # Of the system: /proc is missing, or no more files may be opened.
        raise NotAllowedError from None


def _is_hidden(pid: int) -> bool:
    """Whether the process exists after all: /proc may hide those of other accounts (hidepid)."""
    if os.name == "nt":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _linux() -> tuple[str, str]:
    """Boot id and pid namespace; empty where /proc is missing, or shows another namespace."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return "", ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return boot, os.readlink("/proc/self/ns/pid")
    except (OSError, ValueError):
        return "", ""


def _windows() -> tuple[str, str]:
    """The machine's id; pids there have one namespace, and end with the system."""
    if sys.platform == "win32":
        import winreg

        try:
            with winreg.OpenKey(
                winreg.HKEY_LOCAL_MACHINE,
                r"SOFTWARE\Microsoft\Cryptography",
                access=winreg.KEY_READ | winreg.KEY_WOW64_64KEY,
            ) as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0]), "windows"
        except OSError:
            return "", ""
    return "", ""


def _start_ticks(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[_STAT_START])
    except (OSError, ValueError, IndexError):
        return None
