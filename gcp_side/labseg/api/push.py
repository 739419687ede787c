"""Notifications of the bucket by Pub/Sub; off unless it is configured."""

from __future__ import annotations

import logging

from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side.labseg import jobs
from gcp_side.labseg.api.base import LabsegView
from gcp_side.labseg.api.bodies import Body, body_of
from gcp_side.labseg.api.throttles import PushThrottle
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.errors import JobNotFoundError
from gcp_side.labseg.jobs.pubsub import is_from_pubsub, job_of

logger = logging.getLogger(__name__)


class Push(LabsegView):
    """``POST …/push/``: no user of the site calls it, but Pub/Sub with a token of its own."""

    permission_classes = ()
    throttle_classes = (PushThrottle,)
    status_code = status.HTTP_204_NO_CONTENT
    body = Body

    def get_authenticators(self) -> list[BaseAuthentication]:
        """None: the token is no user's."""
        return []

    def post(self, request: Request) -> Response:
        """Ingest the result that the message names.

        204 also for what is not ours: Pub/Sub sends everything again that is refused.
        """
        _check_sender(request)
        job_id = job_of(body_of(request))
        if job_id is not None:
            try:
                jobs.take_in(job_id)
            except JobNotFoundError:
                logger.warning("job %s: result of another site ignored", job_id)
        return Response(status=self.status_code)


def _check_sender(request: Request) -> None:
    conf = get_conf()
    if not conf.push_audience:
        raise NotFound
    kind, _, token = str(request.META.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if kind.lower() != "bearer" or not is_from_pubsub(
        token.strip(), audience=conf.push_audience, service_account=conf.push_service_account
    ):
        raise PermissionDenied
