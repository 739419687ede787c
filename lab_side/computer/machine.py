"""Main memory of this computer, or of the container in which the program runs.

In a container the computer's memory says nothing: the kernel ends a process that goes beyond the
control group's limit, without a word to it.
Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (``memory.max``) and cgroup-v1/memory
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

_FILE_V1 = Path("memory/memory.limit_in_bytes")


def memory_bytes(groups: Path = CONTROL_GROUPS, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes of main memory that the program may have; None where the system does not say.

    Parameters
    ----------
    groups:
        Where the control groups are mounted.
    membership:
        The file that says in which group this process is.
    """
    limits = list(_limits(groups, membership)) if sys.platform == "linux" else []
    # Without /proc nothing is known of the computer; the groups may be known all the same.
    with contextlib.suppress(psutil.Error, OSError, ValueError):
        limits.append(int(psutil.virtual_memory().total))
    return min(limits, default=None)


def _limits(groups: Path, membership: Path) -> Iterator[int]:
    """The limit of the process' group and of every group around it."""
    group = groups / _own_group(membership)
    candidates = [folder / "memory.max" for folder in (group, *group.parents)]
    for path in (*candidates, groups / _FILE_V1):
        if groups in path.parents:
            try:
                text = path.read_text(encoding="ascii").strip()
            except (OSError, ValueError):
                continue
            # ``max`` means none.
            if text.isdecimal():
                yield int(text)


def _own_group(membership: Path) -> str:
    """Path of the group below the mount; empty in a container, which sees its own as the root."""
    try:
        lines = membership.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
