"""Where the figures come from: a figure without its machine says little."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil


def describe_machine(folder: Path) -> dict[str, object]:
    """Processor, memory, system, Python, and the filesystem that ``folder`` lies on."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "filesystem": filesystem(folder),
        "load_before": load(),
    }


def load() -> float:
    """Processes that want a core, the mean of the last minute: others disturb the figures."""
    return round(os.getloadavg()[0], 2)


def filesystem(folder: Path) -> str:
    """``type on device`` of the mount that holds ``folder``."""
    path = folder.resolve()
    mounts = [
        mount for mount in psutil.disk_partitions(all=True) if path.is_relative_to(mount.mountpoint)
    ]
    if not mounts:
        return "unknown"
    deepest = max(mounts, key=lambda mount: len(Path(mount.mountpoint).parts))
    return f"{deepest.fstype} on {deepest.device}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
