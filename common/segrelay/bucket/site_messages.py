"""What an agent and the hospital's site say to each other about the queue that the site keeps.

Each operation of the bucket protocol is one POST of JSON to ``<address>/<operation>/`` with the
agent's token (``Authorization: Bearer``); POST, so that nothing on the way keeps an answer or
changes a name. Every answer of the site has ``"kind": "segrelay#queue"``: a login page, a proxy or
another site does not give that by chance.

==============  ======================================================  ====================
operation       request                                                 answer
==============  ======================================================  ====================
``list``        ``prefix``                                              ``objects``
``stat``        ``name``                                                ``object``
``read``        ``name``, ``limit``                                     ``content``
``create``      ``name``, ``content``, ``nonce``                        ``object``
``replace``     ``name``, ``content``                                   ``object``
``move``        ``source``, ``destination``, ``generation``, ``nonce``  ``object``
``delete``      ``name``, ``generation``
``take-over``   ``name``, ``metadata``, ``generation``, ``nonce``       ``object``
``refresh``     ``name``, ``metadata``, ``generation``                  ``object``
``wait``        ``change``, ``seconds``, perhaps ``heartbeat``          ``change``, ``waited``
==============  ======================================================  ====================

An idle agent's heartbeat is carried by the calls that wait for a job (``heartbeat``): the site
renews it before it holds the call, and answers with ``object`` and ``held``. An older site
does not, nor one where the object was written since: then the agent sends heartbeats of its own.

A refusal has ``code`` and ``error`` and the status of :data:`REFUSALS`. The nonce of a write is
kept with the object: a repetition of a write whose answer was lost is answered as the first.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
)

from segrelay.bucket import ObjectInfo
from segrelay.names import MAX_OBJECT_LENGTH

KIND = "segrelay#queue"
"""Marks every answer of the site."""

PROTOCOL = 1
"""Of these messages; a site answers :data:`OTHER_PROTOCOL` to one that it does not know."""

REFUSALS = {
    "not-found": 404,
    "exists": 409,
    "precondition-failed": 412,
}
"""The HTTP status of each refusal that the bucket protocol knows, by its code."""

NO_TOKEN, NOT_ALLOWED = "token-refused", "not-allowed"
NO_QUEUE, OTHER_PROTOCOL = "no-queue-here", "other-protocol"
BAD_REQUEST, STORE_AWAY = "request-invalid", "store-unavailable"

LONGEST_WAIT = 25.0
"""Seconds that the site holds a ``wait`` at most: many proxies give up after 30."""

MOST_CONTENT = 4 * 1024 * 1024
"""Bytes of an object: several times the largest result."""

MOST_METADATA = 8 * 1024
"""Bytes of an object's metadata, as in Google Cloud Storage."""


def _decoded(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("is not a text")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("is not base64") from None


Content = Annotated[
    bytes,
    PlainValidator(_decoded),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), return_type=str),
]
"""Bytes, in base64."""

Name = Annotated[str, Field(min_length=1, max_length=MAX_OBJECT_LENGTH)]
Generation = Annotated[int, Field(ge=0, lt=2**63)]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


def _short(metadata: dict[str, str]) -> dict[str, str]:
    if sum(len(text.encode()) for item in metadata.items() for text in item) > MOST_METADATA:
        raise ValueError(f"must have at most {MOST_METADATA} bytes")
    return metadata


Metadata = Annotated[dict[str, str], Field(max_length=20), AfterValidator(_short)]


class _Message(BaseModel):
    # What a newer side adds is for those who know it.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Request(_Message):
    """What every request holds."""

    protocol: int = PROTOCOL


class ListRequest(Request):
    """``list``"""

    prefix: Annotated[str, Field(max_length=MAX_OBJECT_LENGTH)]


class NameRequest(Request):
    """``stat``"""

    name: Name


class ReadRequest(NameRequest):
    """``read``"""

    limit: Annotated[int, Field(ge=0)]


class CreateRequest(NameRequest):
    """``create``"""

    content: Content
    nonce: Nonce


class ReplaceRequest(NameRequest):
    """``replace``"""

    content: Content


class MoveRequest(Request):
    """``move``"""

    source: Name
    destination: Name
    generation: Generation
    nonce: Nonce


class DeleteRequest(NameRequest):
    """``delete``"""

    generation: Generation


class RefreshRequest(NameRequest):
    """``refresh``"""

    metadata: Metadata
    generation: Generation


class TakeOverRequest(RefreshRequest):
    """``take-over``"""

    nonce: Nonce


class CarriedHeartbeat(RefreshRequest):
    """A heartbeat that a waiting call brings along."""

    updated: AwareDatetime
    """Of the object as the agent knows it: it is renewed only if nothing was written since, as what
    was sent later may have arrived before."""


class WaitRequest(Request):
    """``wait``: for something new among the pending jobs."""

    change: Annotated[str, Field(max_length=64)]
    """Of the last answer; empty at first."""
    seconds: Annotated[float, Field(ge=0, le=LONGEST_WAIT)]
    heartbeat: CarriedHeartbeat | None = None


class ObjectMessage(_Message):
    """One object's metadata."""

    name: str
    generation: int
    updated: AwareDatetime
    size: int
    metadata: dict[str, str] | None = None

    @classmethod
    def of(cls, info: ObjectInfo) -> ObjectMessage:
        """Describe an object of the site's own store."""
        return cls(
            name=info.name,
            generation=info.generation,
            updated=info.updated,
            size=info.size,
            metadata=None if info.metadata is None else dict(info.metadata),
        )

    def info(self) -> ObjectInfo:
        """Read it as the bucket protocol has it."""
        updated: datetime = self.updated
        return ObjectInfo(
            name=self.name,
            generation=self.generation,
            updated=updated,
            size=self.size,
            metadata=self.metadata,
        )


class Answer(_Message):
    """An answer of the site; each operation fills what it has."""

    kind: Literal["segrelay#queue"] = "segrelay#queue"
    object: ObjectMessage | None = None
    objects: list[ObjectMessage] | None = None
    content: Content | None = None
    change: str | None = None
    waited: bool | None = None
    held: Annotated[float, Field(ge=0)] | None = None
    """Seconds from the renewal of a carried heartbeat to this answer."""
    code: str = ""
    """Of a refusal; empty of any other answer."""
    error: str = ""
    """What was refused, for an operator."""

    def as_json(self) -> dict[str, Any]:
        """Return it without what it does not have."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"kind": self.kind}
