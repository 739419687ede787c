"""The jobs: one, all, their history; cancel and retry."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import QuerySet
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side.labseg import jobs
from gcp_side.labseg.api.base import LabsegView, body_of, page_of, user_of
from gcp_side.labseg.api.serializers import events_as_list, request_as_dict, waiting_as_dict
from gcp_side.labseg.api.submit import accepted, confirm_of
from gcp_side.labseg.api.throttles import SubmitThrottle
from gcp_side.labseg.errors import QueryRefusedError, SubmissionRefusedError
from gcp_side.labseg.jobs.waiting import why_waiting
from gcp_side.labseg.models import Job, State
from gcp_side.labseg.orthanc import client
from segrelay.errors import TransientError
from segrelay.manifest import is_orthanc_id


class SegmentationStatus(LabsegView):
    """``GET …/status/<request_id>/``."""

    def get(self, request: Request, request_id: str) -> Response:  # noqa: ARG002
        """Where the job is, and why it waits; looks into the queue at most once a second."""
        job = jobs.refresh(jobs.find(request_id))
        waiting = waiting_as_dict(why_waiting(job))
        return Response({"success": True, **request_as_dict(job), "waiting": waiting})


class Requests(LabsegView):
    """``GET …/requests/[?state=][&profile=][&study=][&page=][&page_size=]``."""

    def get(self, request: Request) -> Response:
        """Jobs, newest first; open ones are looked up in the queue at most once a second."""
        page, size = page_of(request)
        pages = Paginator(_filtered(request), size)
        # Behind the last page there is nothing, which is no error.
        rows = list(pages.page(page)) if page <= pages.num_pages else []
        jobs.refresh_together(rows)
        return Response(
            {
                "success": True,
                "count": pages.count,
                "page": page,
                "page_size": size,
                "requests": [request_as_dict(job) for job in rows],
            }
        )


class RequestEvents(LabsegView):
    """``GET …/requests/<request_id>/events/``."""

    def get(self, request: Request, request_id: str) -> Response:  # noqa: ARG002
        """The history of a job, oldest first."""
        events = events_as_list(jobs.find(request_id))
        return Response({"success": True, "events": events})


class CancelRequest(LabsegView):
    """``POST …/requests/<request_id>/cancel/``."""

    needs = "labseg.change_job"

    def post(self, request: Request, request_id: str) -> Response:  # noqa: ARG002
        """Call a job off; the answer is what stands: the cancellation, or an earlier end.

        202 where the queue does not answer: the wish is stored and carried out later.
        """
        code: int = status.HTTP_200_OK
        try:
            job = jobs.cancel(request_id)
        except TransientError:
            job = jobs.find(request_id)
            if not job.is_open or job.cancel_requested_at is None:
                raise
            code = status.HTTP_202_ACCEPTED
        cancelled = job.state == State.CANCELLED
        return Response(
            {"success": True, "cancelled": cancelled, **request_as_dict(job)}, status=code
        )


class RetryRequest(LabsegView):
    """``POST …/requests/<request_id>/retry/``.

    Body, optionally: ``{"force": true, "confirm": true}``.
    """

    needs = "labseg.change_job"
    throttle_classes = (SubmitThrottle,)

    def post(self, request: Request, request_id: str) -> Response:
        """Try an ended job again as a new one."""
        body = body_of(request)
        force = body.get("force", False)
        if not isinstance(force, bool):
            raise SubmissionRefusedError("force is neither true nor false.", code="force")
        again = jobs.retry(
            request_id,
            orthanc=client.connect(),
            force=force,
            requested_by=user_of(request),
            confirm=confirm_of(body),
        )
        return accepted(again.job, is_new=again.is_new, retry_of=request_id)


def _filtered(request: Request) -> QuerySet[Job]:
    wanted = request.query_params
    rows = Job.objects.all()
    if state := wanted.get("state"):
        if state not in State.values:
            raise QueryRefusedError(
                "state is not one of the states.", remedy=f"Use one of {', '.join(State.values)}."
            )
        rows = rows.filter(state=state)
    if profile := wanted.get("profile"):
        rows = rows.filter(profile=_plain(profile))
    if study := wanted.get("study"):
        if not is_orthanc_id(study):
            raise QueryRefusedError("study is not an Orthanc id.")
        rows = rows.filter(orthanc_study_id=study)
    return rows


def _plain(text: str) -> str:
    # PostgreSQL refuses NUL with an error of its own.
    if "\0" in text:
        raise QueryRefusedError("The address holds a NUL character.")
    return text
