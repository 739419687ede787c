"""The agent's work folders: one for every attempt, gone when it ends."""

from __future__ import annotations

import shutil
from pathlib import Path

from common.errors import LocalDiskError

SERIES_FOLDER = "series"
"""Downloads, inside an attempt's folder."""


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
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        except OSError as error:
            raise LocalDiskError(f"No work folder ({error.strerror}).") from error
        return folder

    def sweep(self) -> None:
        """Remove what a killed process left; nothing in here is needed after a restart."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def free_bytes(self) -> int:
        """Free space of the disk that the folders are on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self._folder).free
