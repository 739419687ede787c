"""The queue that the site keeps, for agents: ``POST …/queue/<operation>/``.

The messages are those of :mod:`segrelay.bucket.site_messages`, and the caller no user of the site
but an agent with its token.
"""

from __future__ import annotations

from typing import Any, cast

from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import (
    AuthenticationFailed,
    PermissionDenied,
    Throttled,
)
from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side.labseg.api.base import LabsegView
from gcp_side.labseg.api.queue.operations import OPERATIONS, Call, QueueRefusedError
from gcp_side.labseg.api.throttles import QueueThrottle
from gcp_side.labseg.queue.access import own_bucket
from gcp_side.labseg.queue.rows import AgentToken
from gcp_side.labseg.queue.tokens import agent_of
from segrelay.bucket import site_messages as messages
from segrelay.bucket.site_messages import Answer
from segrelay.errors import QueueConflictError, SegRelayError

LONGEST_BODY = messages.MOST_CONTENT * 4 // 3 + 64 * 1024
"""Bytes of a request: base64 has four for three of the content, and the rest is short."""


class AgentTokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer`` with a token that was made for an agent."""

    def authenticate(self, request: Request) -> tuple[Any, AgentToken]:
        """Return no user, and the token's row.

        Raises
        ------
        AuthenticationFailed
            There is none, or none that is in use.
        """
        kind, _, token = str(request.META.get("HTTP_AUTHORIZATION", "")).partition(" ")
        found = agent_of(token.strip()) if kind.lower() == "bearer" else None
        if found is None:
            raise AuthenticationFailed
        return None, found

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        """See the REST framework: with it, the status is 401."""
        return "Bearer"


class QueueOperation(LabsegView):
    """``POST …/queue/<operation>/``."""

    permission_classes = ()
    throttle_classes = (QueueThrottle,)
    metadata_class = None
    # A result is longer than what users send.
    most_bytes = LONGEST_BODY
    # Its messages are described where both sides read them.
    schema = None

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return the one way in: the token is no user's."""
        return [AgentTokenAuthentication()]

    def post(self, request: Request, operation: str) -> Response:
        """Carry one operation out."""
        bucket = own_bucket()
        if bucket is None:
            raise QueueRefusedError(
                messages.NO_QUEUE, "The queue is elsewhere.", status.HTTP_404_NOT_FOUND
            )
        known = OPERATIONS.get(operation)
        if known is None:
            raise QueueRefusedError(
                messages.OTHER_PROTOCOL,
                f"There is no operation {operation[:20]!r}.",
                status.HTTP_400_BAD_REQUEST,
            )
        token = cast(AgentToken, request.auth)
        return _answer(known(Call(bucket, token.agent, request)))

    def handle_exception(self, exc: Exception) -> Response:
        """Every error has the mark of the queue's answers, by which the agent knows the site."""
        if isinstance(exc, QueueConflictError):
            return _refusal(exc.code, exc.message, messages.REFUSALS[exc.code])
        if isinstance(exc, SegRelayError):
            return _refusal(messages.STORE_AWAY, exc.message, status.HTTP_503_SERVICE_UNAVAILABLE)
        response = super().handle_exception(exc)
        code = _code_of(exc)
        text = str(getattr(exc, "detail", ""))
        response.data = Answer(code=code, error=text).as_json()
        return response


def _answer(answer: Answer) -> Response:
    return Response(answer.as_json())


def _refusal(code: str, text: str, status_code: int) -> Response:
    return Response(Answer(code=code, error=text).as_json(), status=status_code)


def _code_of(exc: Exception) -> str:
    if isinstance(exc, AuthenticationFailed):
        return messages.NO_TOKEN
    if isinstance(exc, PermissionDenied):
        return messages.NOT_ALLOWED
    if isinstance(exc, QueueRefusedError):
        return str(exc.get_codes())
    if isinstance(exc, Throttled):
        return messages.STORE_AWAY
    return messages.BAD_REQUEST
