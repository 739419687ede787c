"""One request and one answer, without sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.fake_gcs.errors import bad_request


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    """Still percent-encoded: object names contain encoded slashes."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    origin: str = ""
    """``http://host:port`` as the client sees this server."""

    def document(self) -> dict[str, Any]:
        """The JSON body, empty where there is none; raises ApiError 400."""
        return parse_document(self.body)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the server sends."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def json_answer(document: Mapping[str, Any]) -> Answer:
    """A JSON answer with status 200."""
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    return Answer(headers=headers, body=json.dumps(document).encode())


def parse_document(data: bytes) -> dict[str, Any]:
    """A JSON object; raises ApiError 400."""
    if not data.strip():
        return {}
    try:
        document = json.loads(data)
    except ValueError:
        raise bad_request("Parse Error") from None
    if not isinstance(document, dict):
        raise bad_request("Parse Error")
    return document
