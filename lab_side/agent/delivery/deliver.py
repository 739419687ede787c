"""The last stage: outbox to Orthanc, verified; then the result; then the archive.

::

    result there already? ─▶ upload ─▶ read back, identical? ─▶ report likewise ─▶ result
                               │                                      ─▶ archive ─▶ forget
                               └▶ refused for good ─▶ noted ─▶ failed result ─▶ set aside

A result never names a SEG that Orthanc has not confirmed. When Orthanc already holds other
bytes under this SEG's UID and they are this job's, the first stored SEG wins and the
measurements are taken from it, and so is the report. The report (SR) goes after the SEG that it
names, in the same way; one that Orthanc refuses is left out of the result, which says so. A
refusal is on disk before the result that names it: a
SEG is never forgotten because its job has failed.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from lab_side.agent.delivery.outbox import (
    REPORT_FILE,
    Draft,
    Outbox,
    OutboxEntry,
    Trouble,
    read_report,
)
from lab_side.agent.delivery.outbox import read_seg as _read_seg
from lab_side.log import log_error, log_event
from lab_side.worker.protocol import InspectReply, InspectRequest, ReportFile
from segrelay.errors import (
    FixConfigurationError,
    ManifestRejectedError,
    OrthancNotFoundError,
    OrthancRefusedError,
    OrthancUnavailableError,
    PermanentError,
)
from segrelay.manifest import (
    Failure,
    ReportReference,
    ResultManifest,
    ResultStatus,
    SegmentMeasurement,
    SegReference,
    notes_of,
)
from segrelay.notices import Notice, notice
from segrelay.orthanc import OrthancClient
from segrelay.queue import AgentQueue, Claim
from segrelay.queue.lease import new_nonce
from segrelay.stages import Stage
from segrelay.system.durable import disk_errors

_ADOPTED_REPORT = "stored-report.dcm"
"""In the entry's folder: of the SEG that Orthanc held already."""

logger = logging.getLogger("segrelay.deliver")


class Inspector(Protocol):
    """What can open a SEG: the worker."""

    def inspect(self, request: InspectRequest) -> InspectReply:
        """Describe a stored SEG."""
        ...


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of one outbox entry."""

    result: ResultManifest | None
    """The job's valid result; None for a segmentation by hand."""
    seg: SegReference | None
    """The SEG in Orthanc; None when the job had another result already."""
    report: ReportReference | None = None
    measurements: tuple[SegmentMeasurement, ...] = ()
    already_stored: bool = False


@dataclass(frozen=True)
class _Stored:
    """A SEG in Orthanc, and the report that belongs to its bytes."""

    seg: SegReference
    measurements: tuple[SegmentMeasurement, ...]
    already: bool
    report: ReportFile | None
    report_path: Path


@dataclass(frozen=True)
class _Reported:
    """The report in Orthanc; None where there is none, and why."""

    report: ReportReference | None = None
    notices: tuple[Notice, ...] = ()


class Uploader:
    """Delivers outbox entries, one at a time; safe to repeat after a crash anywhere."""

    def __init__(
        self,
        client: OrthancClient,
        outbox: Outbox,
        inspector: Inspector,
        *,
        queue: AgentQueue | None,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._inspector = inspector
        self._queue = queue
        self._now = now

    def deliver(self, entry: OutboxEntry) -> Delivery:
        """Bring one SEG to Orthanc and publish its result.

        Raises
        ------
        TransientError, FixConfigurationError
            Not now: the entry stays.
        PermanentError
            By hand only; for a job, the failed result is published and the SEG set aside.
        AttemptFailedError
            The worker broke while it read what Orthanc holds: the entry stays.
        """
        refusal = entry.refusal
        if refusal is not None:
            return self._give_up(entry, refusal)
        try:
            return self._deliver(entry)
        except PermanentError as error:
            log_error(logger, logging.ERROR, "SEG refused", error)
            return self._give_up(entry, self._outbox.refuse(entry, error))

    def _deliver(self, entry: OutboxEntry) -> Delivery:
        if self._step_back(entry):
            return Delivery(result=None, seg=None)
        began = time.monotonic()
        stored = self._store(entry)
        log_event(logger, logging.INFO, "SEG stored", again=stored.already)
        reported = self._report(stored)
        result = self._publish(entry, stored, reported, time.monotonic() - began)
        named = result is None or _names(result, entry.draft)
        if not named:
            self._withdraw(entry.draft)
        self._outbox.remove(entry)
        return Delivery(
            result=result,
            seg=stored.seg if named else None,
            report=reported.report if named else None,
            measurements=stored.measurements,
            already_stored=stored.already,
        )

    def _step_back(self, entry: OutboxEntry) -> bool:
        """Clear up when the job has ended without this delivery; whether it had."""
        draft, claim = entry.draft, entry.claim
        if self._queue is None or claim is None:
            return False
        result = self._queue.result(draft.job_id)
        if result is None:
            return False
        if not _names(result, draft):
            self._withdraw(draft)
        self._queue.archive(claim, result.status)
        self._queue.forget_progress(draft.job_id)
        self._outbox.remove(entry)
        log_event(logger, logging.INFO, "earlier result kept")
        return True

    def _withdraw(self, draft: Draft) -> None:
        """Remove this job's own SEG and report, and only them, from Orthanc."""
        reports = () if draft.report is None else (draft.report.sop_instance_uid,)
        try:
            for uid in (*reports, draft.sop_instance_uid):
                for orthanc_id in self._client.find_instance(uid):
                    self._client.delete_instance(orthanc_id)
        except (OrthancRefusedError, FixConfigurationError) as error:
            log_event(logger, logging.WARNING, "SEG not removed", code=error.code)

    def _store(self, entry: OutboxEntry) -> _Stored:
        """Upload, compare the MD5 of what Orthanc has, read back, compare."""
        draft = entry.draft
        sent = _read_seg(entry)
        reply = self._client.upload(sent)
        stored = self._read_back(reply.orthanc_id)
        is_as_sent = stored == sent
        measurements, frames, report = draft.measurements, draft.frames, draft.report
        if not is_as_sent:
            if not reply.already_stored:
                raise OrthancUnavailableError("Orthanc has other bytes than it was sent.")
            found = self._adopt(entry, stored)
            measurements, frames, report = found.measurements, found.frames, found.report
        seg = SegReference(
            orthanc_id=reply.orthanc_id,
            orthanc_series_id=reply.orthanc_series_id,
            sop_instance_uid=draft.sop_instance_uid,
            series_instance_uid=draft.series_instance_uid,
            sha256=hashlib.sha256(stored).hexdigest(),
            size_bytes=len(stored),
            frames=frames,
        )
        path = entry.folder / (REPORT_FILE if is_as_sent else _ADOPTED_REPORT)
        return _Stored(seg, measurements, reply.already_stored, report, path)

    def _report(self, stored: _Stored) -> _Reported:
        """Upload the report of a SEG that is in Orthanc, read it back, compare."""
        if stored.report is None:
            return _Reported()
        try:
            return _Reported(self._store_report(stored.report, stored))
        except PermanentError as error:
            log_error(logger, logging.WARNING, "report refused", error)
            return _Reported(
                notices=(
                    notice(
                        "report-not-stored",
                        text=f"The measurement report was not stored: {error.message}",
                        why=error.code,
                    ),
                )
            )

    def _store_report(self, report: ReportFile, stored: _Stored) -> ReportReference:
        sent = read_report(stored.report_path, report)
        reply = self._client.upload(sent)
        kept = self._read_back(reply.orthanc_id)
        is_as_sent = kept == sent
        if not is_as_sent and not reply.already_stored:
            raise OrthancUnavailableError("Orthanc has other bytes than it was sent.")
        # Another version of the agent may have written it otherwise: the first one is kept.
        if stored.seg.sop_instance_uid.encode() not in kept:
            raise OrthancRefusedError(
                "Orthanc holds a foreign instance under this report's UID.",
                code="orthanc-foreign-instance",
            )
        return ReportReference(
            orthanc_id=reply.orthanc_id,
            sop_instance_uid=report.sop_instance_uid,
            series_instance_uid=report.series_instance_uid,
            sha256=hashlib.sha256(kept).hexdigest(),
            size_bytes=len(kept),
        )

    def _read_back(self, orthanc_id: str) -> bytes:
        """What was just stored, which has the MD5 that Orthanc reports."""
        try:
            md5 = self._client.instance_md5(orthanc_id)
            stored = self._client.instance_file(orthanc_id)
        except OrthancNotFoundError:
            raise OrthancUnavailableError(
                "The SEG was deleted right after it was stored."
            ) from None
        if hashlib.md5(stored, usedforsecurity=False).hexdigest() != md5.lower():
            # Neither can be believed: something before Orthanc may have answered.
            raise OrthancUnavailableError(
                "What was read back is not what Orthanc says it holds.",
                remedy="Nothing at first: it is tried again automatically. If it lasts, Orthanc's "
                "copy of the SEG is damaged: remove it there, and it is sent again.",
            )
        return stored

    def _adopt(self, entry: OutboxEntry, stored: bytes) -> InspectReply:
        """Orthanc's older bytes of the same UID: this job's, or an error."""
        path = entry.folder / "stored.dcm"
        with disk_errors("The outbox refused a file"):
            path.write_bytes(stored)
        wanted = None if entry.draft.report is None else entry.folder / _ADOPTED_REPORT
        found = self._inspector.inspect(InspectRequest(path=path, report_output=wanted))
        draft = entry.draft
        same = (found.sop_instance_uid, found.series_instance_uid, found.job_key)
        if same != (draft.sop_instance_uid, draft.series_instance_uid, draft.job_key):
            raise OrthancRefusedError(
                "Orthanc holds a foreign instance under this SEG's UID.",
                code="orthanc-foreign-instance",
                remedy="Look at that instance in Orthanc; delete it if it does not belong there.",
            )
        log_event(logger, logging.INFO, "first stored SEG adopted")
        return found

    def _publish(
        self, entry: OutboxEntry, stored: _Stored, reported: _Reported, seconds: float
    ) -> ResultManifest | None:
        claim, draft = entry.claim, entry.draft
        if self._queue is None or claim is None:
            return None
        stages = {**draft.provenance.stage_seconds, Stage.UPLOAD: round(seconds, 3)}
        result = ResultManifest(
            job_id=draft.job_id,
            status=ResultStatus.SUCCEEDED,
            author=draft.agent,
            nonce=new_nonce(),
            attempt=claim.attempt,
            finished_at=self._now(),
            seg=stored.seg,
            report=reported.report,
            measurements=stored.measurements,
            provenance=draft.provenance.model_copy(update={"stage_seconds": stages}),
            **notes_of((*draft.notices, *reported.notices), before=draft.warnings),
        )
        standing = self._queue.finish(claim, result)
        self._queue.forget_progress(draft.job_id)
        return standing

    def _give_up(self, entry: OutboxEntry, refusal: Trouble) -> Delivery:
        """Orthanc will never take this SEG: say so in the result and keep it for operators."""
        error = PermanentError(refusal.message, code=refusal.code, remedy=refusal.remedy)
        standing = self._publish_failure(entry, error)
        self._outbox.set_aside(entry)
        if self._queue is None or entry.claim is None:
            raise error
        return Delivery(result=standing, seg=None)

    def _publish_failure(self, entry: OutboxEntry, error: PermanentError) -> ResultManifest | None:
        claim, draft = entry.claim, entry.draft
        if self._queue is None or claim is None:
            return None
        result = failed_result(
            claim,
            error,
            now=self._now(),
            note=f" The SEG is kept on the agent's computer in refused/{draft.job_id}.",
        )
        try:
            standing = self._queue.finish(claim, result)
        except ManifestRejectedError:
            # The job has a result and nobody can read it: for the queue it has failed.
            self._queue.archive(claim, ResultStatus.FAILED)
            return None
        self._queue.forget_progress(draft.job_id)
        return standing


def _names(result: ResultManifest, draft: Draft) -> bool:
    """Whether the job's result names this very SEG."""
    return result.seg is not None and result.seg.sop_instance_uid == draft.sop_instance_uid


def failed_result(
    claim: Claim, error: PermanentError, *, now: datetime, note: str = ""
) -> ResultManifest:
    """The result of a job that cannot succeed."""
    return ResultManifest(
        job_id=claim.job_id,
        status=ResultStatus.FAILED,
        author=claim.agent,
        nonce=new_nonce(),
        attempt=claim.attempt,
        finished_at=now,
        failure=Failure(code=error.code, reason=error.message, remedy=error.remedy + note),
    )
