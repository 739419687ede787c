"""The operations of an agent in the queue that the site keeps: message, right, store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import ValidationError
from rest_framework import status
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.request import Request

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.queue.access import waiting_calls
from gcp_side.labseg.queue.rights import Right, why_not_allowed
from gcp_side.labseg.queue.store import DatabaseBucket
from segrelay.bucket import ObjectInfo
from segrelay.bucket import site_messages as messages
from segrelay.bucket.site_messages import Answer, ObjectMessage
from segrelay.parsing.validation import describe_errors

_Message = TypeVar("_Message", bound=messages.Request)


class QueueRefusedError(APIException):
    """A request that this endpoint does not carry out, by its code of the messages."""

    def __init__(self, code: str, text: str, status_code: int) -> None:
        super().__init__(text, code)
        self.status_code = status_code


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
        # Not by the framework, which has the project's limit for what users send.
        body = self._request._request.read()
        try:
            if messages.Request.model_validate_json(body).protocol != messages.PROTOCOL:
                raise QueueRefusedError(
                    messages.OTHER_PROTOCOL,
                    f"This site knows protocol {messages.PROTOCOL} alone.",
                    status.HTTP_400_BAD_REQUEST,
                )
            return kind.model_validate_json(body)
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
    if message.generation:
        # It writes over what is there, be that a heartbeat or not.
        call.check(Right.DELETE, message.name)
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
    calls, seconds, renewed = waiting_calls(call.bucket), message.seconds, None
    if message.heartbeat is not None:
        renewed = _renew(call, message.heartbeat)
        if renewed is None:
            # The agent shall learn of it before its next heartbeat is due.
            seconds = 0.0
    begin = time.monotonic()
    change, waited = calls.wait(message.change, seconds, most=call.most_waiting)
    if renewed is None:
        return Answer(change=change, waited=waited)
    held = time.monotonic() - begin
    return Answer(change=change, waited=waited, object=ObjectMessage.of(renewed), held=held)


def _renew(call: Call, carried: messages.CarriedHeartbeat) -> ObjectInfo | None:
    call.check(Right.UPDATE, carried.name)
    return call.bucket.renew_unless_newer(
        carried.name, carried.metadata, generation=carried.generation, updated=carried.updated
    )


OPERATIONS: Mapping[str, Callable[[Call], Answer]] = {
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
