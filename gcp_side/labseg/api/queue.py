"""The queue that the site keeps, for agents: ``POST …/queue/<operation>/``.

The messages are those of :mod:`segrelay.bucket.site_messages`, and the caller no user of the site
but an agent with its token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    PermissionDenied,
    Throttled,
)
from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side.labseg.api.base import LabsegView
from gcp_side.labseg.api.throttles import QueueThrottle
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.queue.access import own_bucket, waiting_calls
from gcp_side.labseg.queue.rights import Right, why_not_allowed
from gcp_side.labseg.queue.rows import AgentToken
from gcp_side.labseg.queue.store import DatabaseBucket
from gcp_side.labseg.queue.tokens import agent_of
from segrelay.bucket import ObjectInfo
from segrelay.bucket import site_messages as messages
from segrelay.bucket.site_messages import Answer, ObjectMessage
from segrelay.errors import QueueConflictError, SegRelayError
from segrelay.parsing.validation import describe_errors

_Message = TypeVar("_Message", bound=messages.Request)


class QueueRefusedError(APIException):
    """A request that this endpoint does not carry out, by its code of the messages."""

    def __init__(self, code: str, text: str, status_code: int) -> None:
        super().__init__(text, code)
        self.status_code = status_code


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
        known = _OPERATIONS.get(operation)
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


class Call:
    """One request of an agent, with what it may do."""

    def __init__(self, bucket: DatabaseBucket, agent: str, request: Request) -> None:
        self.bucket = bucket
        self._agent = agent
        self._request = request

    def read(self, kind: type[_Message]) -> _Message:
        """Read the message.

        Raises
        ------
        QueueRefusedError
            It is of another protocol, or not of its form.
        """
        body = self._request.data
        if isinstance(body, Mapping) and body.get("protocol", 1) != messages.PROTOCOL:
            raise QueueRefusedError(
                messages.OTHER_PROTOCOL,
                f"This site knows protocol {messages.PROTOCOL} alone.",
                status.HTTP_400_BAD_REQUEST,
            )
        try:
            return kind.model_validate(body)
        except ValidationError as error:
            text = "; ".join(" ".join(one) for one in describe_errors(error, kind))
            raise QueueRefusedError(
                messages.BAD_REQUEST, text, status.HTTP_400_BAD_REQUEST
            ) from None

    def check(self, right: Right, name: str) -> None:
        """Check that the agent may do this with an object.

        Raises
        ------
        PermissionDenied
            It may not.
        """
        why = why_not_allowed(self._agent, right, name)
        if why:
            raise PermissionDenied(why)

    @property
    def most_waiting(self) -> int:
        """How many calls this process may hold."""
        given = get_conf().queue_waiting_calls
        if given is not None:
            return given
        # PEP 3333: whether another thread may answer requests meanwhile.
        return 1 if self._request.META.get("wsgi.multithread") else 0


def _list(call: Call) -> Answer:
    message = call.read(messages.ListRequest)
    call.check(Right.READ, message.prefix)
    return Answer(objects=[ObjectMessage.of(info) for info in call.bucket.list(message.prefix)])


def _stat(call: Call) -> Answer:
    message = call.read(messages.NameRequest)
    call.check(Right.READ, message.name)
    return _about(call.bucket.stat(message.name))


def _read(call: Call) -> Answer:
    message = call.read(messages.ReadRequest)
    call.check(Right.READ, message.name)
    return Answer(content=call.bucket.read(message.name, limit=message.limit))


def _create(call: Call) -> Answer:
    message = call.read(messages.CreateRequest)
    call.check(Right.CREATE, message.name)
    return _about(call.bucket.create(message.name, message.content, nonce=message.nonce))


def _replace(call: Call) -> Answer:
    message = call.read(messages.ReplaceRequest)
    call.check(Right.CREATE, message.name)
    call.check(Right.DELETE, message.name)
    return _about(call.bucket.replace(message.name, message.content))


def _move(call: Call) -> Answer:
    message = call.read(messages.MoveRequest)
    call.check(Right.MOVE, message.source)
    call.check(Right.CREATE, message.destination)
    moved = call.bucket.move(
        message.source,
        message.destination,
        generation=message.generation,
        nonce=message.nonce,
    )
    return _about(moved)


def _delete(call: Call) -> Answer:
    message = call.read(messages.DeleteRequest)
    call.check(Right.DELETE, message.name)
    call.bucket.delete(message.name, generation=message.generation)
    return Answer()


def _take_over(call: Call) -> Answer:
    message = call.read(messages.TakeOverRequest)
    call.check(Right.CREATE, message.name)
    taken = call.bucket.take_over(
        message.name, message.metadata, generation=message.generation, nonce=message.nonce
    )
    return _about(taken)


def _refresh(call: Call) -> Answer:
    message = call.read(messages.RefreshRequest)
    call.check(Right.UPDATE, message.name)
    refreshed = call.bucket.refresh(message.name, message.metadata, generation=message.generation)
    return _about(refreshed)


def _wait(call: Call) -> Answer:
    message = call.read(messages.WaitRequest)
    held = waiting_calls(call.bucket)
    change, waited = held.wait(message.change, message.seconds, most=call.most_waiting)
    return Answer(change=change, waited=waited)


_OPERATIONS: Mapping[str, Callable[[Call], Answer]] = {
    "list": _list,
    "stat": _stat,
    "read": _read,
    "create": _create,
    "replace": _replace,
    "move": _move,
    "delete": _delete,
    "take-over": _take_over,
    "refresh": _refresh,
    "wait": _wait,
}


def _about(info: ObjectInfo) -> Answer:
    return Answer(object=ObjectMessage.of(info))


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
