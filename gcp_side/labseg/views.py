"""REST endpoints; the names and answers are those that the existing front-end calls.

Every answer has ``success``. A refusal is
``{"success": false, "error": message, "code": …, "remedy": …}`` with HTTP 400 (the request),
404 (no such thing), 502 (Orthanc refuses), 503 (try again) or 500 (this site's settings).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from rest_framework import status
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from common.errors import (
    FixConfigurationError,
    OrthancRefusedError,
    SegRelayError,
    SeriesRefusedError,
    TransientError,
)
from common.manifest import is_orthanc_id
from gcp_side.labseg import orthanc, services
from gcp_side.labseg.errors import (
    JobNotFoundError,
    SegmentationUnreadableError,
    SeriesNotShownError,
    SubmissionRefusedError,
)
from gcp_side.labseg.frames import load_frames
from gcp_side.labseg.models import State
from gcp_side.labseg.serialise import failure_as_dict, job_as_dict
from gcp_side.labseg.throttles import ReadThrottle, SubmitThrottle

log = logging.getLogger(__name__)

_NOT_FOUND_CODES = ("orthanc-not-found", "series-missing", "no-such-slice")

_BAD_REQUEST = (
    SubmissionRefusedError,
    SegmentationUnreadableError,
    SeriesNotShownError,
    SeriesRefusedError,
)


class LabsegView(APIView):
    """What all endpoints share: who may call, how often, and how errors look."""

    authentication_classes = (SessionAuthentication, BasicAuthentication)
    permission_classes = (IsAuthenticated,)
    throttle_classes: Sequence[type[BaseThrottle]] = (ReadThrottle,)
    parser_classes = (JSONParser,)
    renderer_classes = (JSONRenderer,)

    def handle_exception(self, exc: Exception) -> Response:
        """Errors of :mod:`common.errors` become answers; others are the framework's."""
        if isinstance(exc, SegRelayError):
            return _refusal(exc)
        response = super().handle_exception(exc)
        if isinstance(response.data, dict) and "detail" in response.data:
            response.data = {"success": False, "error": str(response.data["detail"])}
        return response


class RequestSegmentation(LabsegView):
    """``POST …/series/<series_id>/segment/`` and ``…/request-local/``.

    Body: ``{"sequence_series_ids": [a, b, c, d]}`` in channel order, optionally
    ``"profile"``. Answers 202 at once; the work is done in the lab.
    """

    throttle_classes = (SubmitThrottle,)

    def post(self, request: Request, series_id: str) -> Response:
        """Submit a job."""
        if not is_orthanc_id(series_id):
            raise SubmissionRefusedError(
                "The series in the address is not an Orthanc id.", code="series-id"
            )
        submission = _submission(request)
        job = services.submit(submission, orthanc=orthanc.connect())
        job.refresh_from_db()
        return Response(
            {
                "success": True,
                "series_id": series_id,
                "request_id": job.job_id,
                "status": str(job.state),
                "profile": job.profile,
            },
            status=status.HTTP_202_ACCEPTED,
        )


class SegmentationStatus(LabsegView):
    """``GET …/status/<request_id>/``."""

    def get(self, request: Request, request_id: str) -> Response:  # noqa: ARG002
        """Where the job is; looks into the queue at most once a second."""
        job = services.refresh(services.find(request_id))
        failure = failure_as_dict(job)
        return Response(
            {
                "success": True,
                "request_id": job.job_id,
                "status": str(job.state),
                "status_text": State(job.state).label,
                "error": None if failure is None else failure["reason"],
                **job_as_dict(job),
            }
        )


class SegmentationFrames(LabsegView):
    """``GET …/instances/<seg_instance_id>/frames/[?series=<id>][&segment=<number>]``."""

    def get(self, request: Request, seg_instance_id: str) -> Response:
        """The masks, by slice in the displayed order of the series."""
        frames = load_frames(
            seg_instance_id,
            series_id=request.query_params.get("series"),
            segment=_segment(request.query_params.get("segment")),
            orthanc=orthanc.connect(),
        )
        return Response({"success": True, "num_frames": len(frames), "frames": frames})


def _submission(request: Request) -> services.Submission:
    body: dict[str, Any] = request.data if isinstance(request.data, dict) else {}
    ids = body.get("sequence_series_ids")
    if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
        raise SubmissionRefusedError(
            "sequence_series_ids is not a list of Orthanc series ids.", code="series-ids"
        )
    profile = body.get("profile")
    if profile is not None and not isinstance(profile, str):
        raise SubmissionRefusedError("profile is not a name.", code="profile-unknown")
    return services.Submission(
        series_ids=tuple(ids),
        profile=profile,
        requested_by=request.user if request.user.is_authenticated else None,
    )


def _segment(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 5:
        raise SegmentationUnreadableError("segment is not a number.", code="no-such-segment")
    return int(text)


def _refusal(error: SegRelayError) -> Response:
    code = _status_of(error)
    if code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        log.error("%s: %s", error.code, error.message)
    body: dict[str, Any] = {
        "success": False,
        "error": error.message,
        "code": error.code,
        "remedy": error.remedy,
    }
    if isinstance(error, FixConfigurationError):
        # Its message names settings of this site: for its log, not for every user.
        body |= {
            "error": "The site is not set up correctly.",
            "remedy": "Tell the administrator; the site's log names the setting.",
        }
    return Response(body, status=code)


def _status_of(error: SegRelayError) -> int:
    if isinstance(error, JobNotFoundError) or error.code in _NOT_FOUND_CODES:
        return status.HTTP_404_NOT_FOUND
    if isinstance(error, _BAD_REQUEST):
        return status.HTTP_400_BAD_REQUEST
    if isinstance(error, TransientError):
        return status.HTTP_503_SERVICE_UNAVAILABLE
    if isinstance(error, OrthancRefusedError):
        return status.HTTP_502_BAD_GATEWAY
    return status.HTTP_500_INTERNAL_SERVER_ERROR
