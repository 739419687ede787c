"""The three ways to upload: simple, multipart and resumable.

Conditions are checked when the object is written; a resumable upload checks them when it
begins as well. Source: https://cloud.google.com/storage/docs/uploads-downloads
"""

from __future__ import annotations

import re
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from infra.fake_gcs.errors import ApiError, bad_request, not_found
from infra.fake_gcs.messages import Answer, Request, json_answer, parse_document
from infra.fake_gcs.objects import crc32c, md5
from infra.fake_gcs.preconditions import Conditions
from infra.fake_gcs.store import Place, Store

CHUNK = 256 * 1024
"""Every chunk of a resumable upload but the last is a multiple of this many bytes."""

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass
class _Session:
    """A resumable upload that has begun."""

    place: Place
    document: dict[str, Any]
    conditions: Conditions
    data: bytearray = field(default_factory=bytearray)
    finished: Answer | None = None


class Uploads:
    """Writes what clients upload into the store; thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def begin(self, bucket: str, request: Request, conditions: Conditions) -> Answer:
        """POST: a whole simple or multipart upload, or the start of a resumable one."""
        kind = request.query.get("uploadType")
        if kind == "media":
            document = {"contentType": request.headers.get("content-type")}
            return self._write(bucket, request, document, request.body, conditions)
        if kind == "multipart":
            document, content_type, data = _read_multipart(request)
            document.setdefault("contentType", content_type)
            return self._write(bucket, request, document, data, conditions)
        if kind == "resumable":
            return self._begin_resumable(bucket, request, conditions)
        raise bad_request("Invalid value for uploadType.")

    def resume(self, bucket: str, request: Request) -> Answer:
        """PUT: the next chunk of a resumable upload, or the question how far it is."""
        with self._lock:
            session = self._sessions.get(request.query.get("upload_id", ""))
            if session is None or session.place.bucket != bucket:
                raise not_found("No such upload.")
            if session.finished is not None:
                return session.finished
            return self._take_chunk(session, request)

    def _write(
        self,
        bucket: str,
        request: Request,
        document: dict[str, Any],
        data: bytes,
        conditions: Conditions,
    ) -> Answer:
        place = Place(bucket, _object_name(request, document))
        return self._store_object(place, data, document, conditions)

    def _store_object(
        self, place: Place, data: bytes, document: dict[str, Any], conditions: Conditions
    ) -> Answer:
        _check_hashes(data, document)
        return json_answer(self._store.put(place, data, document, conditions).resource())

    def _begin_resumable(self, bucket: str, request: Request, conditions: Conditions) -> Answer:
        document = request.document()
        document.setdefault("contentType", request.headers.get("x-upload-content-type"))
        place = Place(bucket, _object_name(request, document))
        self._store.check(place, conditions)
        upload_id = secrets.token_urlsafe(24)
        with self._lock:
            self._sessions[upload_id] = _Session(place, document, conditions)
        query = urlencode({"uploadType": "resumable", "upload_id": upload_id})
        return Answer(headers={"Location": f"{request.origin}{request.path}?{query}"})

    def _take_chunk(self, session: _Session, request: Request) -> Answer:
        start, total = _content_range(request, len(session.data))
        if start > len(session.data):
            raise bad_request("The chunk does not follow what was received before.")
        session.data += request.body[len(session.data) - start :]
        if total is None or len(session.data) < total:
            if total is None and len(request.body) % CHUNK:
                raise bad_request(f"A chunk must be a multiple of {CHUNK} bytes.")
            return _incomplete(session)
        if len(session.data) > total:
            raise bad_request("More bytes than the upload announced.")
        data = bytes(session.data)
        session.finished = self._store_object(
            session.place, data, session.document, session.conditions
        )
        return session.finished


def split_multipart(body: bytes, content_type: str) -> list[tuple[dict[str, str], bytes]]:
    """The parts of a multipart body: headers (names in lower case) and content.

    It is split by bytes: gsutil quotes its boundary with single quotes and ends lines with
    LF alone, which parsers of mail do not take. Raises ApiError 400.
    """
    found = re.search(r"boundary=(\"[^\"]*\"|'[^']*'|[^;\s]+)", content_type)
    if found is None:
        raise bad_request("The upload has no boundary.")
    # Clients disagree on whether single quotes belong to the boundary.
    for choice in (found[1].strip('"'), found[1].strip("'\"")):
        marker = b"--" + choice.encode()
        if marker in body:
            newline = b"\r\n" if marker + b"\r\n" in body else b"\n"
            pieces = (newline + body).split(newline + marker)
            return [_part(piece, newline) for piece in pieces[1:-1]]
    raise bad_request("The boundary does not occur in the upload.")


def _part(piece: bytes, newline: bytes) -> tuple[dict[str, str], bytes]:
    head, found, content = piece.partition(newline * 2)
    if not found:
        raise bad_request("A part of the upload has no end of headers.")
    lines = [line.partition(":") for line in head.decode("latin-1").splitlines() if ":" in line]
    return {name.strip().lower(): value.strip() for name, _, value in lines}, content


def _read_multipart(request: Request) -> tuple[dict[str, Any], str | None, bytes]:
    parts = split_multipart(request.body, request.headers.get("content-type", ""))
    if len(parts) != 2:
        raise bad_request("A multipart upload has exactly two parts.")
    (_, metadata), (headers, data) = parts
    return parse_document(metadata), headers.get("content-type"), data


def _object_name(request: Request, document: dict[str, Any]) -> str:
    name = request.query.get("name") or document.get("name")
    if not isinstance(name, str) or not name:
        raise ApiError(400, "required", "Required")
    return name


def _check_hashes(data: bytes, document: dict[str, Any]) -> None:
    for key, found in (("crc32c", crc32c(data)), ("md5Hash", md5(data))):
        if document.get(key, found) != found:
            raise bad_request(f"Provided {key} doesn't match calculated value.")


def _content_range(request: Request, received: int) -> tuple[int, int | None]:
    """First byte of this chunk, and the whole size or None where not yet known."""
    header = request.headers.get("content-range")
    if header is None:
        return 0, len(request.body)
    match = _RANGE.fullmatch(header)
    if match is None:
        raise bad_request("Invalid Content-Range.")
    total = None if match[3] == "*" else int(match[3])
    if match[1] is None:
        return received, total
    start, end = int(match[1]), int(match[2])
    if end - start + 1 != len(request.body):
        raise bad_request("Content-Range does not fit the length of the body.")
    return start, total


def _incomplete(session: _Session) -> Answer:
    headers = {"Range": f"bytes=0-{len(session.data) - 1}"} if session.data else {}
    return Answer(status=308, headers=headers)
