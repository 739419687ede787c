"""Which request is which operation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from infra.fake_gcs.api import Api, Names
from infra.fake_gcs.errors import ApiError
from infra.fake_gcs.messages import Answer, Request

_BUCKET = r"(?:/storage|/download/storage)/v1/b/(?P<bucket>[^/]+)"
_OBJECT = rf"{_BUCKET}/o/(?P<object>[^/]+)"
_UPLOAD = r"(?:/resumable)?/upload/storage/v1/b/(?P<bucket>[^/]+)/o"
_TARGET = r"b/(?P<target_bucket>[^/]+)/o/(?P<target>[^/]+)"

_ROUTES: list[tuple[str, str, str, Callable[[Api, Names, Request], Answer]]] = [
    ("GET", r"/storage/v1/b", "list-buckets", Api.list_buckets),
    ("GET", _BUCKET, "get-bucket", Api.get_bucket),
    ("GET", rf"{_BUCKET}/storageLayout", "get-layout", Api.get_layout),
    ("GET", rf"{_BUCKET}/o", "list", Api.list_objects),
    ("GET", _OBJECT, "get", Api.get_object),
    ("PATCH", _OBJECT, "patch", Api.patch),
    ("PUT", _OBJECT, "update", Api.update),
    ("DELETE", _OBJECT, "delete", Api.delete),
    ("POST", rf"{_OBJECT}/moveTo/o/(?P<target>[^/]+)", "move", Api.move),
    ("POST", rf"{_OBJECT}/copyTo/{_TARGET}", "copy", Api.copy),
    ("POST", rf"{_OBJECT}/rewriteTo/{_TARGET}", "rewrite", Api.rewrite),
    ("POST", _UPLOAD, "upload", Api.upload),
    ("PUT", _UPLOAD, "resume-upload", Api.resume_upload),
]
_COMPILED = [(method, re.compile(path), name, call) for method, path, name, call in _ROUTES]

OPERATIONS = frozenset({name for _, _, name, _ in _ROUTES} | {"download"})
"""What faults and lies can name."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, understood."""

    operation: str
    names: Names
    run: Callable[[Api, Names, Request], Answer]


def find_route(request: Request) -> Call:
    """Raises ApiError 404 for an unknown path, 405 for a wrong method."""
    allowed = False
    for method, pattern, operation, run in _COMPILED:
        match = pattern.fullmatch(request.path)
        if match is None:
            continue
        if method != request.method:
            allowed = True
            continue
        names = {key: unquote(value) for key, value in match.groupdict().items()}
        if operation == "get" and request.query.get("alt") == "media":
            operation, run = "download", Api.download
        return Call(operation=operation, names=names, run=run)
    if allowed:
        raise ApiError(405, "methodNotAllowed", "Method not allowed.")
    raise ApiError(404, "notFound", "Not Found")
