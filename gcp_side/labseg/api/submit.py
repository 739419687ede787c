"""Asking for a segmentation; answered at once with 202, the work is done in the lab."""

from __future__ import annotations

from django.utils.translation import gettext
from rest_framework import status
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side.labseg import jobs
from gcp_side.labseg.api.answers import AnswerSerializer, SeriesAccepted, StudyAccepted
from gcp_side.labseg.api.base import LabsegView, user_of
from gcp_side.labseg.api.bodies import ByRole, BySeries
from gcp_side.labseg.api.throttles import SubmitThrottle
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.errors import SubmissionRefusedError
from gcp_side.labseg.jobs.selection import roles_of
from gcp_side.labseg.models import Job
from gcp_side.labseg.orthanc import client
from segrelay.manifest import is_orthanc_id


class SubmitView(LabsegView):
    """What the endpoints share that make a new job."""

    needs = "labseg.add_job"
    status_code = status.HTTP_202_ACCEPTED
    throttle_classes = (SubmitThrottle,)


class RequestSegmentation(SubmitView):
    """``POST …/series/<series_id>/segment/`` and ``…/request-local/``.

    Series that contradict the profile answer 409 with the reasons unless confirmed.
    """

    answer = SeriesAccepted
    body = BySeries

    def post(self, request: Request, series_id: str) -> Response:
        """Submit a job."""
        if not is_orthanc_id(series_id):
            raise SubmissionRefusedError(
                "The series in the address is not an Orthanc id.", code="series-id"
            )
        body = self.body.of(request)
        submission = jobs.Submission(
            series_ids=tuple(body.pop("sequence_series_ids")), requested_by=user_of(request), **body
        )
        job = jobs.submit(submission, orthanc=client.connect())
        return accepted(self.answer, job, series_id=series_id)


class RequestStudySegmentation(SubmitView):
    """``POST …/studies/<study_id>/segment/``."""

    answer = StudyAccepted
    body = ByRole

    def post(self, request: Request, study_id: str) -> Response:
        """Submit a job."""
        if not is_orthanc_id(study_id):
            raise SubmissionRefusedError(
                "The study in the address is not an Orthanc id.", code="study-id"
            )
        job = jobs.submit(_by_role(request, study_id), orthanc=client.connect())
        return accepted(self.answer, job, study_id=study_id)


def accepted(answer: type[AnswerSerializer], job: Job, **more: object) -> Response:
    """The answer to a new job, as it is after its publication."""
    job.refresh_from_db()
    return Response(answer({"job": job, **more}).data, status=status.HTTP_202_ACCEPTED)


def _check_priority(request: Request, priority: int | None, usual: int) -> None:
    """Refuse to serve a request before others for a user who may only add requests."""
    is_sooner = priority is not None and priority < usual
    if is_sooner and not request.user.has_perm("labseg.change_job"):
        raise PermissionDenied(
            gettext("Only who may change requests may ask to be served before others.")
        )


def _by_role(request: Request, study_id: str) -> jobs.Submission:
    body = ByRole.of(request)
    conf = get_conf()
    _check_priority(request, body["priority"], conf.priority)
    body["profile"] = body["profile"] or conf.usual_profile
    chosen = body.pop("series")
    roles = roles_of(body["profile"], conf, None)
    if set(chosen) != set(roles):
        raise SubmissionRefusedError(
            "The roles are not those of the profile.",
            code="roles",
            remedy=f"Give one series for each of: {', '.join(roles)}.",
        )
    return jobs.Submission(
        series_ids=tuple(chosen[role] for role in roles),
        roles=roles,
        study_id=study_id,
        requested_by=user_of(request),
        **body,
    )
