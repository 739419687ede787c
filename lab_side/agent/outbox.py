"""SEGs on the local disk that Orthanc has not confirmed, or whose result is not published.

A SEG enters before its first byte goes out and leaves when its result stands: the write
order is SEG to disk (fsync), folder renamed into the outbox (fsync), then the upload.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from common.durable import sync_folder, write_durably
from common.errors import LocalDiskError
from common.manifest import Provenance, SegmentMeasurement
from common.names import parse_job_name
from common.queue import Claim
from lab_side.log import event

SEG_FILE = "seg.dcm"
DRAFT_FILE = "draft.json"

_GONE = ".gone-"
"""Before the name of an entry that is being removed: removing takes several steps."""

logger = logging.getLogger("segrelay.outbox")


class Draft(BaseModel):
    """Everything the result needs that is known before the upload."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_id: str
    claim: str | None
    """File name of the claimed job; None for a segmentation by hand."""
    agent: str
    job_key: str
    sop_instance_uid: str
    series_instance_uid: str
    sha256: str
    size_bytes: int
    frames: int
    measurements: tuple[SegmentMeasurement, ...]
    provenance: Provenance
    warnings: tuple[str, ...]
    written_at: AwareDatetime


@dataclass(frozen=True, kw_only=True)
class OutboxEntry:
    """One SEG that waits."""

    folder: Path
    draft: Draft

    @property
    def seg_path(self) -> Path:
        """The SEG file."""
        return self.folder / SEG_FILE

    @property
    def claim(self) -> Claim | None:
        """The claim under which it was made."""
        name = None if self.draft.claim is None else parse_job_name(self.draft.claim)
        return None if name is None else Claim(name=name, agent=self.draft.agent)

    def lock(self) -> FileLock:
        """Held while the entry is being delivered: another process may look in too."""
        return FileLock(self.folder.with_suffix(".lock"), timeout=0)


class Outbox:
    """The folder of waiting SEGs."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "outbox"
        self._refused = home / "refused"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._refused.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalDiskError(f"The outbox cannot be made ({error.strerror}).") from error
        for left in self._folder.glob(f"{_GONE}*"):
            shutil.rmtree(left, ignore_errors=True)

    def add(self, folder: Path, draft: Draft) -> OutboxEntry:
        """Take over ``folder``, which holds a fsynced ``seg.dcm``.

        Raises
        ------
        LocalDiskError
            The disk refused; the folder is as it was.
        """
        target = self._folder / draft.job_id
        try:
            write_durably(folder / DRAFT_FILE, draft.model_dump_json(indent=1).encode())
            if target.exists():
                # Only a torn entry can be here: a whole one is delivered, not made again.
                shutil.rmtree(target)
            folder.rename(target)
            sync_folder(self._folder)
        except OSError as error:
            raise LocalDiskError(f"The outbox refused a SEG ({error.strerror}).") from error
        return OutboxEntry(folder=target, draft=draft)

    def entries(self) -> list[OutboxEntry]:
        """Every waiting SEG, oldest first."""
        found = []
        for folder in self._folder.iterdir():
            if folder.name.startswith(_GONE):
                continue
            try:
                data = (folder / DRAFT_FILE).read_bytes()
                found.append(OutboxEntry(folder=folder, draft=Draft.model_validate_json(data)))
            except (OSError, ValidationError):
                if folder.is_dir():
                    event(logger, logging.WARNING, "unreadable outbox entry", name=folder.name)
        return sorted(found, key=lambda entry: entry.draft.written_at)

    def find(self, job_id: str) -> OutboxEntry | None:
        """The entry of one job."""
        for entry in self.entries():
            if entry.draft.job_id == job_id:
                return entry
        return None

    def reassign(self, entry: OutboxEntry, claim: Claim) -> OutboxEntry:
        """Let a new claim of the same job deliver the SEG that an earlier one made.

        Raises
        ------
        LocalDiskError
            The disk refused, or the entry has gone.
        """
        draft = entry.draft.model_copy(update={"claim": claim.name.file_name, "agent": claim.agent})
        try:
            write_durably(entry.folder / DRAFT_FILE, draft.model_dump_json(indent=1).encode())
        except OSError as error:
            # Full, or just delivered by a process that shares this folder.
            raise LocalDiskError(f"The outbox refused a change ({error.strerror}).") from error
        return OutboxEntry(folder=entry.folder, draft=draft)

    def remove(self, entry: OutboxEntry) -> None:
        """Forget a SEG whose job has its result; a kill in between leaves no torn entry."""
        gone = self._folder / f"{_GONE}{entry.folder.name}"
        with contextlib.suppress(OSError):
            entry.folder.rename(gone)
        for folder in (gone, entry.folder):
            shutil.rmtree(folder, ignore_errors=True)
        entry.folder.with_suffix(".lock").unlink(missing_ok=True)

    def set_aside(self, entry: OutboxEntry) -> Path:
        """Keep a SEG that Orthanc refuses for good, for a person; returns where."""
        target = self._refused / entry.draft.job_id
        if target.exists():
            shutil.rmtree(target)
        entry.folder.rename(target)
        entry.folder.with_suffix(".lock").unlink(missing_ok=True)
        return target
