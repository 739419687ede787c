"""What the bucket says of a job, as columns of the job table. Pure: nothing is written."""

from __future__ import annotations

from typing import Any

from segrelay.manifest import Failure, Rejection, ResultManifest
from segrelay.queue import HeartbeatJob, JobLocation, JobState, QueueView

_RESULT_UNREADABLE_REMEDY = (
    "Look at the agent that wrote it: its version may not fit this site's; then submit again."
)
_REASON_UNREADABLE = Failure(
    code="rejected",
    reason="An agent set the manifest aside; its reason cannot be read.",
    remedy="Look at the agents' logs for this job, then submit again.",
)


def columns_of(job_id: str, found: JobLocation, view: QueueView) -> dict[str, Any]:
    """The columns of a job at this location; their state is not UNKNOWN."""
    columns: dict[str, Any] = {
        "state": found.state.value,
        "agent": found.agent or "",
        "stage": "",
        "percent": 0,
        "done": 0,
        "total": 0,
        "missing_since": None,
    } | _failure(None)
    if found.attempt or found.state is JobState.PENDING:
        columns["attempt"] = found.attempt
    if found.result is not None:
        return columns | _from_result(found.result)
    if found.state is JobState.CLAIMED:
        return columns | _from_progress(job_id, found, view)
    if found.state is JobState.REJECTED:
        return columns | _from_rejection(found.rejection)
    if found.state is JobState.RESULT_UNREADABLE:
        return columns | {
            "failure_code": "result-unreadable",
            "failure_reason": found.problem,
            "failure_remedy": _RESULT_UNREADABLE_REMEDY,
        }
    return columns


def _from_progress(job_id: str, found: JobLocation, view: QueueView) -> dict[str, Any]:
    """How far this attempt is: a leftover of an earlier one is not shown."""
    progress = found.progress
    if progress is None or progress.attempt != found.attempt:
        progress = _from_heartbeat(job_id, found, view)
    if progress is None:
        return {}
    return {
        "stage": progress.stage[:64],
        "percent": progress.percent,
        "done": progress.done,
        "total": progress.total,
    }


def _from_heartbeat(job_id: str, found: JobLocation, view: QueueView) -> HeartbeatJob | None:
    owner = view.agents.get(found.agent or "")
    return None if owner is None else owner.heartbeat.job(job_id, found.attempt)


def _from_rejection(rejection: Rejection | None) -> dict[str, Any]:
    # The user learns that the cancellation came too late: if the lab puts the job back, it
    # shall run.
    columns: dict[str, Any] = {"cancel_requested_at": None}
    if rejection is None:
        return columns | _failure(_REASON_UNREADABLE)
    return columns | {"agent": rejection.agent} | _failure(rejection)


def _from_result(result: ResultManifest) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "agent": result.author,
        "finished_at": result.finished_at,
        "warnings": list(result.warnings),
        "notices": [item.model_dump(mode="json") for item in result.notices],
        "measurements": [item.model_dump(mode="json") for item in result.measurements],
    } | _failure(result.failure)
    if result.provenance is not None:
        columns["provenance"] = result.provenance.model_dump(mode="json")
    if result.seg is not None:
        columns |= {"percent": 100, "tumour_found": result.tumour_found}
    for name, stored in (("seg", result.seg), ("report", result.report)):
        if stored is not None:
            columns |= {
                f"{name}_orthanc_id": stored.orthanc_id,
                f"{name}_sop_instance_uid": stored.sop_instance_uid,
                f"{name}_series_instance_uid": stored.series_instance_uid,
            }
    return columns


def _failure(item: Failure | Rejection | None) -> dict[str, Any]:
    """Reason columns; empty ones clear what a rejection or an unreadable result had left."""
    return {
        "failure_code": item.code if item else "",
        "failure_reason": item.reason if item else "",
        "failure_remedy": item.remedy if item else "",
    }
