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
    job: JobContext,
    worker: WorkerProcess,
    outbox: Outbox,
    folders: WorkFolders,
    *,
    progress: Callable[[str, float], None],
) -> OutboxEntry:
    """Segment a fetched job; its SEG is on disk and in the outbox when this returns.

    Raises
    ------
    PermanentError, AttemptFailedError, LocalDiskError
    """
    reply = worker.segment(
        SegmentRequest(
            profile=job.profile.name,
            job_key=job.job_key,
            series=job.series,
            created_at=job.manifest.submitted_at,
            output=job.folder / SEG_FILE,
            report_output=job.folder / REPORT_FILE,
            confirmed=job.manifest.confirmed,
        ),
        progress,
    )
    # The folder becomes the outbox entry: the downloads must not go with it.
    folders.set_downloads_aside(job.job_id, job.attempt)
    return outbox.add(job.folder, _draft(job, reply))


def _draft(job: JobContext, reply: SegmentReply) -> Draft:
    stages = {**job.stage_seconds, **reply.stage_seconds}
    return Draft(
        job_id=job.job_id,
        claim=None if job.claim is None else job.claim.name.file_name,
        agent=job.agent,
        job_key=job.job_key,
        sop_instance_uid=reply.sop_instance_uid,
        series_instance_uid=reply.series_instance_uid,
        sha256=reply.sha256,
        size_bytes=reply.size_bytes,
        frames=reply.frames,
        measurements=reply.measurements,
        provenance=Provenance(
            profile=job.profile.name,
            profile_version=job.profile.version,
            model_sha256=job.model_sha256,
            device=reply.device,
            versions={"segrelay": __version__, **reply.versions},
            stage_seconds={name: round(seconds, 3) for name, seconds in stages.items()},
            series_instance_uids=reply.series_instance_uids,
            registrations=reply.registrations,
            flips=job.profile.inference.flips,
        ),
        notices=reply.notices,
        report=reply.report,
        written_at=utc_now(),
    )
