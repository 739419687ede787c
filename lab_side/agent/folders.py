"""The agent's work folders: one for every attempt, gone when it ends."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from lab_side.settings.config import AgentConfig
from segrelay.bucket import directory_at
from segrelay.system.durable import disk_errors
from segrelay.system.private_files import close_to_others
from segrelay.system.sharing_violation import retry_sharing_violation

GIGABYTE = 10**9

SERIES_FOLDER = "series"
"""Downloads, inside an attempt's folder."""

_ASIDE = ".used"


class WorkFolders:
    """``home/jobs/<job>-<attempt>``."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "jobs"

    def of(self, job_id: str, attempt: int) -> Path:
        """Where an attempt works."""
        return self._folder / f"{job_id}-{attempt}"

    def new(self, job_id: str, attempt: int) -> Path:
        """An empty folder for an attempt.

        Raises
        ------
        LocalDiskError
            The disk refused.
        """
        folder = self.of(job_id, attempt)
        with disk_errors("No work folder"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        return folder

    def set_downloads_aside(self, job_id: str, attempt: int) -> None:
        """Take the downloads out of an attempt's folder at once; :meth:`remove_downloads` later.

        Removing hundreds of files takes tens of milliseconds, in which the GPU would wait.
        """
        folder = self.of(job_id, attempt)
        with disk_errors("The downloads cannot be moved"), suppress(FileNotFoundError):
            retry_sharing_violation(
                lambda: (folder / SERIES_FOLDER).rename(folder.with_suffix(_ASIDE))
            )

    def remove_downloads(self) -> None:
        """Remove the downloads that were set aside."""
        for folder in self._folder.glob(f"*{_ASIDE}"):
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what a killed process left; nothing in here is needed after a restart."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def free_bytes(self) -> int:
        """Free space of the disk that the folders are on.

        Raises
        ------
        LocalDiskError
            The disk does not say.
        """
        return free_bytes(self._folder)


def close_home(config: AgentConfig) -> None:
    """Take others' rights from what an earlier version, or another hand, left open to them."""
    close_to_others(config.home, but=directory_at(config.bucket or ""))
    for log in config.log_path.parent.glob(f"{config.log_path.name}*"):
        close_to_others(log)


def free_bytes(folder: Path) -> int:
    """Free space of the disk on which a folder is, or will be."""
    with disk_errors("The free space of the disk cannot be told"):
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free
