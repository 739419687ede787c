"""Asking for a segmentation; answered at once with 202, the work is done in the lab."""

from __future__ import annotations

from typing import Any

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side.labseg import jobs
from gcp_side.labseg.api.base import LabsegView, body_of, user_of
from gcp_side.labseg.api.throttles import SubmitThrottle
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.errors import SubmissionRefusedError
from gcp_side.labseg.jobs.confirmation import REASONS, Confirm
from gcp_side.labseg.jobs.selection import roles_of
from gcp_side.labseg.models import Job
from gcp_side.labseg.orthanc import client
from segrelay.manifest import is_orthanc_id


class SubmitView(LabsegView):
    """What the endpoints share that make a new job."""

    needs = "labseg.add_job"
    throttle_classes = (SubmitThrottle,)


class RequestSegmentation(SubmitView):
    """``POST …/series/<series_id>/segment/`` and ``…/request-local/``.

    Body: ``{"sequence_series_ids": [a, b, c, d]}`` in channel order, optionally
    ``"profile"``, ``"labels"`` and ``"confirm"`` as :func:`confirm_of` reads it. Series that
    contradict the profile answer 409 with the reasons unless confirmed.
    """

    def post(self, request: Request, series_id: str) -> Response:
        """Submit a job."""
        if not is_orthanc_id(series_id):
            raise SubmissionRefusedError(
                "The series in the address is not an Orthanc id.", code="series-id"
            )
        job = jobs.submit(_by_series(request), orthanc=client.connect())
        return accepted(job, series_id=series_id)


class RequestStudySegmentation(SubmitView):
    """``POST …/studies/<study_id>/segment/``.

    Body: ``{"profile": name, "series": {role: series id, …}}``, optionally ``"priority"``,
    ``"labels"`` and ``"confirm"`` as :func:`confirm_of` reads it.
    """

    def post(self, request: Request, study_id: str) -> Response:
        """Submit a job."""
        if not is_orthanc_id(study_id):
            raise SubmissionRefusedError(
                "The study in the address is not an Orthanc id.", code="study-id"
            )
        submission = _by_role(request, study_id)
        job = jobs.submit(submission, orthanc=client.connect())
        return accepted(job, study_id=study_id)


def accepted(job: Job, **more: object) -> Response:
    """The answer to a new job, as it stands after its publication."""
    job.refresh_from_db()
    body = {
        "success": True,
        "request_id": job.job_id,
        "status": str(job.state),
        "profile": job.profile,
    }
    return Response(body | more, status=status.HTTP_202_ACCEPTED)


def _by_series(request: Request) -> jobs.Submission:
    body = body_of(request)
    ids = body.get("sequence_series_ids")
    if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
        raise SubmissionRefusedError(
            "sequence_series_ids is not a list of Orthanc series ids.", code="series-ids"
        )
    return jobs.Submission(
        series_ids=tuple(ids),
        profile=_profile(body),
        labels=_labels(body),
        requested_by=user_of(request),
        confirm=confirm_of(body),
    )


def _by_role(request: Request, study_id: str) -> jobs.Submission:
    body = body_of(request)
    conf = get_conf()
    profile = _profile(body) or conf.usual_profile
    chosen = body.get("series")
    if not isinstance(chosen, dict) or not all(isinstance(one, str) for one in chosen.values()):
        raise SubmissionRefusedError(
            "series is not an object of roles and Orthanc series ids.", code="series-ids"
        )
    roles = roles_of(profile, conf, None)
    if set(chosen) != set(roles):
        raise SubmissionRefusedError(
            "The roles are not those of the profile.",
            code="roles",
            remedy=f"Give one series for each of: {', '.join(roles)}.",
        )
    return jobs.Submission(
        series_ids=tuple(chosen[role] for role in roles),
        profile=profile,
        roles=roles,
        priority=_priority(body),
        labels=_labels(body),
        study_id=study_id,
        requested_by=user_of(request),
        confirm=confirm_of(body),
    )


def confirm_of(body: dict[str, Any]) -> Confirm:
    """What the sender has confirmed: true, or a list of the codes of the reasons that were shown.

    Raises
    ------
    SubmissionRefusedError
        ``confirm``: it is neither true, false nor a list of known codes.
    """
    confirm = body.get("confirm", False)
    if isinstance(confirm, bool):
        return confirm
    if isinstance(confirm, list) and all(
        isinstance(code, str) and code in REASONS for code in confirm
    ):
        return frozenset(confirm)
    raise SubmissionRefusedError(
        "confirm is neither true, false nor a list of codes of reasons.",
        code="confirm",
        remedy=f"Give true, or a list of codes out of: {', '.join(REASONS)}.",
    )


def _profile(body: dict[str, Any]) -> str | None:
    profile = body.get("profile")
    if profile is not None and not isinstance(profile, str):
        raise SubmissionRefusedError("profile is not a name.", code="profile-unknown")
    return profile


def _priority(body: dict[str, Any]) -> int | None:
    priority = body.get("priority")
    # True is an int in Python, and no priority.
    if priority is not None and type(priority) is not int:
        raise SubmissionRefusedError("priority is not a number from 0 to 9.", code="priority")
    return priority


def _labels(body: dict[str, Any]) -> tuple[str, ...] | None:
    labels = body.get("labels")
    if labels is None:
        return None
    if not isinstance(labels, list) or not all(isinstance(one, str) for one in labels):
        raise SubmissionRefusedError("labels is not a list of texts.", code="request-invalid")
    return tuple(labels)
