"""Jobs, studies, agents and profiles as plain data, ready for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from gcp_side.labseg.jobs.agents import LabAgent, ProfileOnOffer
from gcp_side.labseg.jobs.confirmation import Reason, read_reasons
from gcp_side.labseg.jobs.waiting import Waiting
from gcp_side.labseg.messages import Explanation, tell, tell_reason, tell_warning
from gcp_side.labseg.models import EventKind, Job, JobEvent, Outcome, State
from gcp_side.labseg.orthanc.client import SeriesEntry, StudyEntry
from gcp_side.labseg.recognition import Recognised, SeriesAttributes, plane_of
from segrelay.offers import OfferedRole
from segrelay.profiles import Text
from segrelay.result_notes import DOUBTS, NOT_FOR_PATIENTS


def reasons_as_list(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    """What speaks against series, with its sentence in the active language."""
    return [
        {**reason.as_dict(), "text": reason.text, "contradicts": reason.code not in DOUBTS}
        for reason in reasons
    ]


def job_as_dict(job: Job) -> dict[str, Any]:
    """One job, ready for JSON."""
    return {
        "job_id": job.job_id,
        "profile": job.profile,
        "priority": job.priority,
        "labels": job.labels,
        "state": str(job.state),
        "finished": not job.is_open,
        "agent": job.agent,
        "attempt": job.attempt,
        "stage": job.stage,
        "percent": job.percent,
        "done": job.done,
        "total": job.total,
        "cancel_requested_at": time_as_text(job.cancel_requested_at),
        "missing_since": time_as_text(job.missing_since),
        "orthanc_study_id": job.orthanc_study_id,
        "study_instance_uid": job.study_instance_uid,
        "series": job.series,
        "seg_instance_id": job.seg_orthanc_id or None,
        "seg_sop_instance_uid": job.seg_sop_instance_uid or None,
        "seg_series_instance_uid": job.seg_series_instance_uid or None,
        "report_instance_id": job.report_orthanc_id or None,
        "report_sop_instance_uid": job.report_sop_instance_uid or None,
        "report_series_instance_uid": job.report_series_instance_uid or None,
        "tumour_found": job.tumour_found,
        "segments": job.measurements,
        "confirmed": reasons_as_list(read_reasons(job.confirmed)),
        "confirmed_by": job.confirmed_by,
        "for_patients": NOT_FOR_PATIENTS not in job.warnings,
        "warnings": [tell_warning(text) for text in job.warnings],
        "provenance": job.provenance,
        "failure": failure_as_dict(job),
        "retry_of": job.retry_of_id,
        "submitted_at": time_as_text(job.submitted_at),
        "updated_at": time_as_text(job.updated_at),
        "finished_at": time_as_text(job.finished_at),
    }


def request_as_dict(job: Job) -> dict[str, Any]:
    """One job, as the REST answers show it."""
    failure = failure_as_dict(job)
    return {
        "request_id": job.job_id,
        "status": str(job.state),
        "status_text": str(State(job.state).label),
        "error": None if failure is None else failure["reason"],
        **job_as_dict(job),
    }


def events_as_list(job: Job) -> list[dict[str, Any]]:
    """The job's history, oldest first, ready for JSON."""
    return [event_as_dict(event, job) for event in job.events.all()]


def event_as_dict(event: JobEvent, job: Job) -> dict[str, Any]:
    """One line of a job's history, in the active language, ready for JSON."""
    told = tell(event.code, event.text, "") if event.code else Explanation(event.text, "", "")
    if event.kind == EventKind.CONFIRMED:
        told = Explanation(" ".join(reason.text for reason in read_reasons(job.confirmed)), "", "")
    outcome = f"{Outcome(event.outcome).label}: " if event.outcome else ""
    return {
        "at": time_as_text(event.at),
        "kind": event.kind,
        "attempt": event.attempt,
        "agent": event.agent,
        "text": outcome + told.message,
        "detail": told.detail,
    }


def failure_as_dict(job: Job) -> dict[str, str] | None:
    """Code, reason and remedy in the active language, a detail in English; None for no failure."""
    if not job.failure_code:
        return None
    told = tell(job.failure_code, job.failure_reason, job.failure_remedy)
    return {
        "code": job.failure_code,
        "reason": told.message,
        "remedy": told.remedy,
        "detail": told.detail,
    }


def waiting_as_dict(waiting: Waiting | None) -> dict[str, str | None] | None:
    """Why a job waits; None where it does not."""
    if waiting is None:
        return None
    return {
        "kind": waiting.kind,
        "text": waiting.text,
        "since": time_as_text(waiting.since),
    }


def time_as_text(value: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the second."""
    return None if value is None else value.astimezone(UTC).isoformat(timespec="seconds")


def study_as_dict(
    entry: StudyEntry, series: Sequence[SeriesEntry], latest: Job | None
) -> dict[str, Any]:
    """One study with its latest request."""
    return {
        "study_id": entry.orthanc_id,
        "study_instance_uid": entry.study_instance_uid,
        "patient_name": entry.patient_name,
        "patient_id": entry.patient_id,
        "date": _date(entry.date),
        "description": entry.description,
        "modalities": sorted({item.modality for item in series if item.modality}),
        "series": len(series),
        "latest_request": None if latest is None else request_as_dict(latest),
    }


def series_as_dict(item: SeriesEntry, facts: SeriesAttributes | None) -> dict[str, Any]:
    """One series; its geometry where it was read. A frame of an enhanced instance is an image."""
    return {
        "series_id": item.orthanc_id,
        "number": item.number,
        "description": item.description,
        "modality": item.modality,
        "instances": len(item.instances),
        "images": len(item.instances) if facts is None else facts.instances,
        "orientation": None if facts is None else plane_of(facts.orientation),
        "rows": None if facts is None else facts.rows,
        "columns": None if facts is None else facts.columns,
    }


def recognised_as_dict(role: OfferedRole, found: Recognised) -> dict[str, Any]:
    """The series that was recognised for a role, with the evidence."""
    return {
        "role": role.role,
        "title": _texts(role.title, role.role),
        "series_id": found.series_id,
        "confidence": found.confidence.value,
        "evidence": found.sentence,
        "clues": [{"code": item.code, "parameters": dict(item.parameters)} for item in found.clues],
    }


def agent_as_dict(agent: LabAgent) -> dict[str, Any]:
    """One agent, as its last heartbeat tells."""
    heartbeat = agent.heartbeat
    return {
        "name": agent.name,
        "online": agent.is_online,
        "state": heartbeat.state,
        "reason": tell_reason(heartbeat.reason),
        "device": heartbeat.device,
        "version": heartbeat.version,
        "profiles": list(heartbeat.profiles),
        "labels": list(heartbeat.labels),
        "last_beat": time_as_text(agent.last_heartbeat),
        "seconds_since_beat": round(agent.silent.total_seconds(), 1),
        "jobs": [
            {
                "request_id": job.job_id,
                "stage": job.stage,
                "percent": job.percent,
                "done": job.done,
                "total": job.total,
            }
            for job in heartbeat.jobs
        ],
    }


def offer_as_dict(item: ProfileOnOffer) -> dict[str, Any]:
    """One profile on offer; names stand for texts that nobody told."""
    offer = item.offer
    return {
        "name": offer.name,
        "title": _texts(offer.title, offer.name),
        "intended_use": _texts(offer.intended_use, ""),
        "body_part": offer.body_part,
        "for_patients": offer.for_patients is not False,
        "roles": [
            {"role": role.role, "title": _texts(role.title, role.role)} for role in offer.roles
        ],
        "segments": [
            {
                "number": segment.number,
                "label": segment.label,
                "title": _texts(segment.title, segment.label),
                "colour": list(segment.colour),
            }
            for segment in offer.segments
        ],
        "online": item.is_online,
        "default": item.is_default,
    }


def _texts(text: Text | None, otherwise: str) -> dict[str, str]:
    """In both languages of the product."""
    return {"en": otherwise, "ko": otherwise} if text is None else text.model_dump()


def _date(text: str) -> str | None:
    """``YYYYMMDD`` as ISO 8601; None where it is no date."""
    try:
        return datetime.strptime(text, "%Y%m%d").date().isoformat()
    except ValueError:
        return None
