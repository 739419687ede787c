"""A job as plain data, the same for the command and the REST answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gcp_side.labseg.models import Job


def job_as_dict(job: Job) -> dict[str, Any]:
    """One job, ready for JSON."""
    return {
        "job_id": job.job_id,
        "profile": job.profile,
        "priority": job.priority,
        "state": str(job.state),
        "finished": not job.is_open,
        "agent": job.agent,
        "attempt": job.attempt,
        "stage": job.stage,
        "percent": job.percent,
        "done": job.done,
        "total": job.total,
        "cancel_requested_at": _time(job.cancel_requested_at),
        "missing_since": _time(job.missing_since),
        "orthanc_study_id": job.orthanc_study_id,
        "study_instance_uid": job.study_instance_uid,
        "series": job.series,
        "seg_instance_id": job.seg_orthanc_id or None,
        "seg_sop_instance_uid": job.seg_sop_instance_uid or None,
        "seg_series_instance_uid": job.seg_series_instance_uid or None,
        "tumour_found": job.tumour_found,
        "segments": job.measurements,
        "warnings": job.warnings,
        "provenance": job.provenance,
        "failure": failure_as_dict(job),
        "retry_of": job.retry_of_id,
        "submitted_at": _time(job.submitted_at),
        "updated_at": _time(job.updated_at),
        "finished_at": _time(job.finished_at),
    }


def events_as_list(job: Job) -> list[dict[str, Any]]:
    """The job's history, oldest first, ready for JSON."""
    return [
        {
            "at": _time(event.at),
            "kind": event.kind,
            "attempt": event.attempt,
            "agent": event.agent,
            "text": event.text,
        }
        for event in job.events.all()
    ]


def failure_as_dict(job: Job) -> dict[str, str] | None:
    """Code, reason and remedy; None where nothing failed."""
    if not job.failure_code:
        return None
    return {
        "code": job.failure_code,
        "reason": job.failure_reason,
        "remedy": job.failure_remedy,
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="seconds")
