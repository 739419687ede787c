"""SEGs on the local disk that Orthanc has not confirmed, or whose result is not published.

A SEG enters before its first byte goes out and leaves when its result exists: the write
order is SEG to disk (fsync), folder renamed into the outbox (fsync), then the upload.

::

    outbox/<job>/seg.dcm, draft.json   flushed
                 report.dcm            flushed: its measurement report, where one was made
                 trouble.json          why the last delivery failed; losing it loses nothing
                 refusal.json          flushed: Orthanc never takes it, the job is to fail
    refused/<job>/…                    the same folder, once the job has failed
    outbox/.retry                      an operator's request: try now
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from lab_side.log import log_event
from lab_side.worker.protocol import ReportFile
from segrelay.errors import PermanentError, SegRelayError, TransientError
from segrelay.manifest import MOST_WARNINGS, RESULT_LIMITS, Provenance, SegmentMeasurement, utc_now
from segrelay.names import parse_job_name
from segrelay.notices import Notices
from segrelay.parsing.documents import LongText, Moment, Sentence, first_items, read_document
from segrelay.parsing.json_reader import UnreadableJsonError
from segrelay.queue import Claim
from segrelay.system.durable import disk_errors, sync_folder, write_durably
from segrelay.system.sharing_violation import retry_sharing_violation
from segrelay.system.system_limits import raise_if_limit

SEG_FILE = "seg.dcm"
REPORT_FILE = "report.dcm"
DRAFT_FILE = "draft.json"
TROUBLE_FILE = "trouble.json"
REFUSAL_FILE = "refusal.json"

_GONE = ".gone-"
"""Before the name of an entry that is being removed: removing takes several steps."""

_RETRY = ".retry"

logger = logging.getLogger("segrelay.outbox")

_Model = TypeVar("_Model", bound=BaseModel)


class Draft(BaseModel):
    """Everything the result needs that is known before the upload."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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
    warnings: Annotated[tuple[Sentence, ...], first_items(MOST_WARNINGS)] = ()
    """Of a draft of an older version: notes without codes."""
    notices: Notices = ()
    report: ReportFile | None = None
    """Of this SEG; where Orthanc holds an earlier one, a report is made of that."""
    written_at: Moment


class Trouble(BaseModel):
    """Why a SEG has not been delivered."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: str
    message: LongText
    remedy: LongText
    tries: int
    """Deliveries that have failed."""
    at: Moment
    """This computer's clock, as all times here."""
    next_at: Moment | None = None
    """When the next try is due; None where nobody has one planned."""


@dataclass(frozen=True, kw_only=True)
class OutboxEntry:
    """One SEG that waits, or was set aside."""

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

    @property
    def attempt(self) -> int:
        """The number of the job's attempt; 1 by hand."""
        return 1 if self.claim is None else self.claim.attempt

    @property
    def trouble(self) -> Trouble | None:
        """Why the last delivery failed; None where none has."""
        return _read_trouble(self.folder / TROUBLE_FILE)

    @property
    def refusal(self) -> Trouble | None:
        """Why Orthanc will never take it; None where it may."""
        return _read_trouble(self.folder / REFUSAL_FILE)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Held while the entry is being delivered: another process may read it too.

        Raises
        ------
        TransientError
            ``outbox-locked``: another process delivers it now; ``outbox-delivered``: it has.
        LocalDiskError
            The disk refused.
        """
        lock = FileLock(self._lock_path, timeout=0)
        with disk_errors("The outbox refused a lock"):
            try:
                lock.acquire()
            except Timeout:
                raise TransientError(
                    "Another process delivers this SEG now.", code="outbox-locked"
                ) from None
        try:
            if not self.folder.exists():
                self.remove_lock()
                raise TransientError(
                    "Another process has delivered this SEG.", code="outbox-delivered"
                )
            yield
        finally:
            lock.release()

    def remove_lock(self) -> None:
        """Leave no lock behind when the entry goes."""
        with contextlib.suppress(OSError):
            self._lock_path.unlink()

    @property
    def _lock_path(self) -> Path:
        return self.folder.with_suffix(".lock")


class Outbox:
    """The folder of waiting SEGs."""

    def __init__(self, home: Path) -> None:
        self._folder = waiting_folder(home)
        self._refused = refused_folder(home)
        with disk_errors("The outbox cannot be made"):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._refused.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(f"{_GONE}*"):
            shutil.rmtree(left, ignore_errors=True)

    def add(self, folder: Path, draft: Draft) -> OutboxEntry:
        """Take over ``folder``, which holds a fsynced ``seg.dcm``; returns the valid entry.

        That is an earlier one of the job, where another process of this computer has made it,
        too: it may be under way to Orthanc just now.

        Raises
        ------
        LocalDiskError
            The disk refused; the folder is as it was, or it is an entry all the same.
        """
        target = self._folder / draft.job_id
        with disk_errors("The outbox refused a SEG"):
            standing = self.find(draft.job_id)
            if standing is not None:
                shutil.rmtree(folder)
                return standing
            write_durably(folder / DRAFT_FILE, draft.model_dump_json(indent=1).encode())
            if target.exists():
                # Torn: a whole one was found above.
                shutil.rmtree(target)
            retry_sharing_violation(lambda: folder.rename(target))
            sync_folder(self._folder)
        return OutboxEntry(folder=target, draft=draft)

    def entries(self) -> list[OutboxEntry]:
        """Every waiting SEG, oldest first.

        Raises
        ------
        LocalDiskError
            The outbox cannot be listed.
        """
        return read_entries(self._folder)

    def job_ids(self) -> set[str]:
        """The jobs whose SEG waits; raises as :meth:`entries`."""
        return {entry.draft.job_id for entry in self.entries()}

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
        # Full, or just delivered by a process that shares this folder.
        with disk_errors("The outbox refused a change"):
            write_durably(entry.folder / DRAFT_FILE, draft.model_dump_json(indent=1).encode())
        return OutboxEntry(folder=entry.folder, draft=draft)

    def note_failure(
        self, entry: OutboxEntry, error: SegRelayError, next_at: datetime | None
    ) -> None:
        """Write down why a delivery failed, for operators; not flushed, and no loss."""
        before = entry.trouble
        tries = 1 if before is None else before.tries + 1
        aside = entry.folder / f".{TROUBLE_FILE}"
        with contextlib.suppress(OSError):
            aside.write_bytes(_to_json(_trouble(error, tries=tries, next_at=next_at)))
            retry_sharing_violation(lambda: aside.replace(entry.folder / TROUBLE_FILE))

    def refuse(self, entry: OutboxEntry, error: SegRelayError) -> Trouble:
        """Write down, for good, that Orthanc will never take this SEG: the job is to fail.

        Raises
        ------
        LocalDiskError
            The disk refused; the next delivery finds out again.
        """
        before = entry.trouble
        trouble = _trouble(error, tries=1 if before is None else before.tries + 1)
        with disk_errors("The outbox refused a note"):
            write_durably(entry.folder / REFUSAL_FILE, _to_json(trouble))
        return trouble

    def remove(self, entry: OutboxEntry) -> None:
        """Forget a SEG whose job has its result; a kill in between leaves no torn entry."""
        gone = self._folder / f"{_GONE}{entry.folder.name}"
        with contextlib.suppress(OSError):
            retry_sharing_violation(lambda: entry.folder.rename(gone))
        for folder in (gone, entry.folder):
            shutil.rmtree(folder, ignore_errors=True)
        entry.remove_lock()

    def set_aside(self, entry: OutboxEntry) -> None:
        """Keep a SEG whose job has failed, for operators.

        Raises
        ------
        LocalDiskError
            The disk refused; the entry is where it was.
        """
        target = self._refused / entry.draft.job_id
        with disk_errors("A refused SEG cannot be set aside"):
            if target.exists():
                shutil.rmtree(target)
            retry_sharing_violation(lambda: entry.folder.rename(target))
        entry.remove_lock()

    def take_retry_request(self) -> bool:
        """Return whether operators have asked to try now since this was last called."""
        try:
            (self._folder / _RETRY).unlink()
        except OSError:
            return False
        return True


def waiting_folder(home: Path) -> Path:
    """Where the SEGs of an agent wait."""
    return home / "outbox"


def refused_folder(home: Path) -> Path:
    """Where those lie that were set aside."""
    return home / "refused"


def read_entries(folder: Path) -> list[OutboxEntry]:
    """The entries of a folder, oldest first; none where there is no folder.

    Raises
    ------
    LocalDiskError
        The folder cannot be listed.
    """
    with disk_errors("The outbox cannot be listed"):
        paths = list(folder.iterdir()) if folder.exists() else []
    found = []
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            draft = _read_file(Draft, path / DRAFT_FILE)
            found.append(OutboxEntry(folder=path, draft=draft))
        except (OSError, UnreadableJsonError) as error:
            # Left out, its job would pass for one that has no SEG.
            raise_if_limit(error)
            if path.is_dir():
                log_event(logger, logging.WARNING, "outbox entry not read", name=path.name)
    return sorted(found, key=lambda entry: (entry.draft.written_at, entry.draft.job_id))


def read_seg(entry: OutboxEntry) -> bytes:
    """The SEG, byte for byte as it was written.

    Raises
    ------
    PermanentError
        ``seg-damaged``: other bytes, or none.
    LocalDiskError
        The disk does not give it.
    """
    data = _read_whole(entry.seg_path, entry.draft.sha256)
    if data is None:
        raise PermanentError(
            "The SEG in the outbox is damaged or gone.",
            code="seg-damaged",
            remedy="Check the disk of the agent's computer, then submit the job again.",
        )
    return data


def read_report(path: Path, report: ReportFile) -> bytes:
    """The measurement report, byte for byte as it was written.

    Raises
    ------
    PermanentError
        ``report-damaged``: other bytes, or none.
    LocalDiskError
        The disk does not give it.
    """
    data = _read_whole(path, report.sha256)
    if data is None:
        raise PermanentError(
            "The measurement report in the outbox is damaged or gone.", code="report-damaged"
        )
    return data


def _read_whole(path: Path, sha256: str) -> bytes | None:
    """The file's bytes; None where they are others, or there are none."""
    with disk_errors("The outbox cannot be read"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def ask_for_retry(home: Path) -> Path:
    """Ask the agent to try now; returns the file that it removes when it does.

    Raises
    ------
    LocalDiskError
        The disk refused.
    """
    request = waiting_folder(home) / _RETRY
    with disk_errors("The outbox refused a request"):
        request.touch()
    return request


def _trouble(error: SegRelayError, *, tries: int, next_at: datetime | None = None) -> Trouble:
    return Trouble(
        code=error.code,
        message=error.message,
        remedy=error.remedy,
        tries=tries,
        at=utc_now(),
        next_at=next_at,
    )


def _to_json(trouble: Trouble) -> bytes:
    return trouble.model_dump_json(indent=1).encode()


def _read_trouble(path: Path) -> Trouble | None:
    try:
        return _read_file(Trouble, path)
    except (OSError, UnreadableJsonError):
        return None


def _read_file(model: type[_Model], path: Path) -> _Model:
    with path.open("rb") as file:
        return read_document(model, file.read(RESULT_LIMITS.size_bytes + 1), RESULT_LIMITS)
