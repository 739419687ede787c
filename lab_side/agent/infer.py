"""The second stage: the worker makes a SEG; it enters the outbox before anything else."""

from __future__ import annotations

from collections.abc import Callable

from lab_side import __version__
from lab_side.agent.delivery.outbox import REPORT_FILE, SEG_FILE, Draft, Outbox, OutboxEntry
from lab_side.agent.folders import WorkFolders
from lab_side.agent.job_context import JobContext
from lab_side.worker.client import WorkerProcess
from lab_side.worker.protocol import SegmentReply, SegmentRequest
from segrelay.manifest import Provenance, utc_now


def infer(
    case: JobContext,
    worker: WorkerProcess,
    outbox: Outbox,
    folders: WorkFolders,
    *,
    progress: Callable[[str, float], None],
) -> OutboxEntry:
    """Segment a fetched case; its SEG is on disk and in the outbox when this returns.

    Raises
    ------
    PermanentError, AttemptFailedError, LocalDiskError
    """
    reply = worker.segment(
        SegmentRequest(
            profile=case.profile.name,
            job_key=case.job_key,
            series=case.series,
            created_at=case.manifest.submitted_at,
            output=case.folder / SEG_FILE,
            report_output=case.folder / REPORT_FILE,
            confirmed=case.manifest.confirmed,
        ),
        progress,
    )
    # The folder becomes the outbox entry: the downloads must not go with it.
    folders.set_downloads_aside(case.job_id, case.attempt)
    return outbox.add(case.folder, _draft(case, reply))


def _draft(case: JobContext, reply: SegmentReply) -> Draft:
    stages = {**case.stage_seconds, **reply.stage_seconds}
    return Draft(
        job_id=case.job_id,
        claim=None if case.claim is None else case.claim.name.file_name,
        agent=case.agent,
        job_key=case.job_key,
        sop_instance_uid=reply.sop_instance_uid,
        series_instance_uid=reply.series_instance_uid,
        sha256=reply.sha256,
        size_bytes=reply.size_bytes,
        frames=reply.frames,
        measurements=reply.measurements,
        provenance=Provenance(
            profile=case.profile.name,
            profile_version=case.profile.version,
            model_sha256=case.model_sha256,
            device=reply.device,
            versions={"segrelay": __version__, **reply.versions},
            stage_seconds={name: round(seconds, 3) for name, seconds in stages.items()},
            series_instance_uids=reply.series_instance_uids,
            registrations=reply.registrations,
            flips=case.profile.inference.flips,
        ),
        warnings=reply.warnings,
        report=reply.report,
        written_at=utc_now(),
    )
