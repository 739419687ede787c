"""The jobs: one, all, their history; cancel and retry."""

from __future__ import annotations

from typing import ClassVar

from django.core.paginator import Paginator
from django.db.models import QuerySet
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side.labseg import jobs
from gcp_side.labseg.api.answers import (
    CancelSerializer,
    EventsAnswer,
    RequestsPage,
    RetryAccepted,
    StatusSerializer,
)
from gcp_side.labseg.api.base import PAGING, LabsegView, page_of, user_of
from gcp_side.labseg.api.bodies import Retry
from gcp_side.labseg.api.submit import accepted
from gcp_side.labseg.api.throttles import SubmitThrottle
from gcp_side.labseg.errors import QueryRefusedError
from gcp_side.labseg.models import Job, State
from gcp_side.labseg.orthanc import client
from segrelay.errors import TransientError
from segrelay.manifest import is_orthanc_id


class SegmentationStatus(LabsegView):
    """``GET …/status/<request_id>/``."""

    answer = StatusSerializer

    def get(self, request: Request, request_id: str) -> Response:  # noqa: ARG002
        """Where the job is, and why it waits; looks into the queue at most once a second."""
        job = jobs.refresh(jobs.find(request_id))
        return Response(self.answer(job).data)


class Requests(LabsegView):
    """``GET …/requests/[?state=][&profile=][&study=][&page=][&page_size=]``."""

    answer = RequestsPage
    query: ClassVar = {
        "state": ", ".join(State.values),
        "profile": "name of a profile",
        "study": "Orthanc id of a study",
        **PAGING,
    }

    def get(self, request: Request) -> Response:
        """Jobs, newest first; open ones are looked up in the queue at most once a second."""
        page, size = page_of(request)
        pages = Paginator(_filtered(request), size)
        # Behind the last page there is nothing, which is no error.
        rows = list(pages.page(page)) if page <= pages.num_pages else []
        jobs.refresh_together(rows)
        found = {"count": pages.count, "page": page, "page_size": size, "requests": rows}
        return Response(self.answer(found).data)


class RequestEvents(LabsegView):
    """``GET …/requests/<request_id>/events/``."""

    answer = EventsAnswer

    def get(self, request: Request, request_id: str) -> Response:  # noqa: ARG002
        """The history of a job, oldest first."""
        return Response(self.answer(jobs.find(request_id)).data)


class CancelRequest(LabsegView):
    """``POST …/requests/<request_id>/cancel/``."""

    answer = CancelSerializer
    needs = "labseg.change_job"

    def post(self, request: Request, request_id: str) -> Response:  # noqa: ARG002
        """Cancel a job; the answer shows what holds: the cancellation, or an earlier end.

        202 where the queue does not answer: the wish is stored and carried out later.
        """
        code = self.status_code
        try:
            job = jobs.cancel(request_id)
        except TransientError:
            job = jobs.find(request_id)
            if not job.is_open or job.cancel_requested_at is None:
                raise
            code = status.HTTP_202_ACCEPTED
        return Response(self.answer(job).data, status=code)


class RetryRequest(LabsegView):
    """``POST …/requests/<request_id>/retry/``."""

    answer = RetryAccepted
    status_code = status.HTTP_202_ACCEPTED
    body = Retry
    needs = "labseg.change_job"
    throttle_classes = (SubmitThrottle,)

    def post(self, request: Request, request_id: str) -> Response:
        """Try an ended job again as a new one."""
        again = jobs.retry(
            request_id,
            orthanc=client.connect(),
            requested_by=user_of(request),
            **self.body.of(request),
        )
        return accepted(self.answer, again.job, is_new=again.is_new, retry_of=request_id)


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
        if "\0" in profile:
            # PostgreSQL refuses it with an error of its own.
            raise QueryRefusedError("The address holds a NUL character.")
        rows = rows.filter(profile=profile)
    if study := wanted.get("study"):
        if not is_orthanc_id(study):
            raise QueryRefusedError("study is not an Orthanc id.")
        rows = rows.filter(orthanc_study_id=study)
    return rows
