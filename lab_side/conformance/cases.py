"""The table: requests that an honest store refuses, and with which status.

Sources: https://cloud.google.com/storage/docs/json_api/v1/objects,
https://cloud.google.com/storage/docs/request-preconditions and
https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import requests
from google.api_core import exceptions as api

from lab_side.conformance.sandbox import ONCE, Ground

WRONG = 12345
"""A generation and a metageneration that no object has."""

EARLY = datetime(2026, 4, 1, tzinfo=UTC)
LATE = datetime(2026, 5, 1, tzinfo=UTC)

Attempt = Callable[[Ground], object]
"""Tries one request; returns a status, or anything else for success, or raises the client's
GoogleAPICallError."""


@dataclass(frozen=True)
class Row:
    """One request that must be refused."""

    what: str
    attempt: Attempt
    status: int
    """The documented HTTP status of the refusal."""

    def try_on(self, ground: Ground) -> int:
        """The status that came back; 200 for every success."""
        try:
            answer = self.attempt(ground)
        except api.GoogleAPICallError as error:
            return int(error.code or 0)
        return answer if isinstance(answer, int) else 200


def _put(name: str, **conditions: int) -> Attempt:
    return lambda ground: ground.put(name, b"new", **conditions)


def _get(name: str, **conditions: int) -> Attempt:
    return lambda ground: ground.blob(name).reload(**conditions, **ONCE)


def _download(name: str, **options: int) -> Attempt:
    return lambda ground: ground.blob(name).download_as_bytes(**options, **ONCE)


def _patch(name: str, **conditions: int) -> Attempt:
    def patch(ground: Ground) -> object:
        blob = ground.blob(name)
        blob.metadata = {"k": "v"}
        return blob.patch(**conditions, **ONCE)

    return patch


def _delete(name: str, **conditions: int) -> Attempt:
    return lambda ground: ground.blob(name).delete(**conditions, **ONCE)


def _copy(source: str, target: str, **conditions: int) -> Attempt:
    return lambda ground: ground.bucket.copy_blob(
        ground.blob(source), ground.bucket, ground.name(target), **conditions, **ONCE
    )


def _rewrite(source: str, target: str, **conditions: int) -> Attempt:
    return lambda ground: ground.blob(target).rewrite(ground.blob(source), **conditions, **ONCE)


def _move(source: str, target: str, **conditions: int) -> Attempt:
    return lambda ground: ground.bucket.move_blob(
        ground.blob(source), ground.name(target), **conditions, **ONCE
    )


def _move_twice(ground: Ground) -> object:
    _move("a", "first", if_generation_match=0)(ground)
    return _move("a", "second", if_generation_match=0)(ground)


def _resumable(ground: Ground, name: str, generation: int) -> object:
    begin = _begin_resumable(ground, name, generation)
    return begin.status_code if begin.status_code != 200 else _finish_resumable(ground, begin)


def _overtaken_resumable(ground: Ground) -> object:
    """The object appears after a conditional resumable upload has begun."""
    begin = _begin_resumable(ground, "new", 0)
    if begin.status_code != 200:
        return begin.status_code
    ground.put("new")
    return _finish_resumable(ground, begin)


def _begin_resumable(ground: Ground, name: str, generation: int) -> requests.Response:
    return ground.send(
        "POST",
        ground.upload_path,
        params={
            "uploadType": "resumable",
            "name": ground.name(name),
            "ifGenerationMatch": str(generation),
        },
    )


def _finish_resumable(ground: Ground, begin: requests.Response) -> int:
    """Send all bytes to the session that was opened; only to the store's own address."""
    endpoint = ground.client.api_endpoint
    location = begin.headers["Location"]
    if not location.startswith(f"{endpoint}/"):
        raise requests.exceptions.InvalidURL("The store sends the upload to another server.")
    return ground.send("PUT", location.removeprefix(endpoint), data=b"late").status_code


def _custom_time_then(ground: Ground, later: datetime | None) -> object:
    blob = ground.put("timed")
    blob.custom_time = LATE
    blob.patch(**ONCE)
    blob.custom_time = later
    return blob.patch(**ONCE)


def _too_much_metadata(ground: Ground) -> object:
    blob = ground.blob("heavy")
    blob.metadata = {"k": "v" * 9000}
    return blob.upload_from_string(b"x", **ONCE)


def _missing_bucket() -> str:
    return f"segrelay-missing-{secrets.token_hex(16)}"


def _get_in_missing_bucket(ground: Ground) -> object:
    return ground.client.bucket(_missing_bucket()).blob("a").reload(**ONCE)


def _list_missing_bucket(ground: Ground) -> object:
    return list(ground.client.list_blobs(_missing_bucket(), **ONCE))


def _simple_upload(ground: Ground) -> object:
    return ground.send(
        "POST",
        ground.upload_path,
        params={"uploadType": "media", "name": ground.name("a"), "ifGenerationMatch": "0"},
        data=b"x",
    ).status_code


def _get_unless_changed(ground: Ground) -> object:
    blob = ground.blob("a")
    blob.reload(**ONCE)
    return ground.send(
        "GET", ground.object_path("a"), params={"ifGenerationNotMatch": str(blob.generation)}
    ).status_code


def _list_a_page_that_is_none(ground: Ground) -> object:
    return ground.send(
        "GET", ground.objects_path, params={"prefix": f"{ground.root}/", "pageToken": "%%%"}
    ).status_code


def _delete_a_generation_that_is_none(ground: Ground) -> object:
    return ground.send(
        "DELETE", ground.object_path("a"), params={"ifGenerationMatch": "new"}
    ).status_code


def _upload_with_a_wrong_checksum(ground: Ground) -> object:
    document = json.dumps({"name": ground.name("bad"), "crc32c": "AAAAAA=="}).encode()
    head = b"--B\r\nContent-Type: application/json\r\n\r\n"
    body = b"\r\n--B\r\nContent-Type: text/plain\r\n\r\nhello\r\n--B--"
    return ground.send(
        "POST",
        ground.upload_path,
        params={"uploadType": "multipart"},
        headers={"Content-Type": "multipart/related; boundary=B"},
        data=head + document + body,
    ).status_code


def _post_to_an_object(ground: Ground) -> object:
    return ground.send("POST", ground.object_path("a")).status_code


CREATION: tuple[Row, ...] = (
    Row("create twice", _put("a", if_generation_match=0), 412),
    Row("overwrite a wrong generation", _put("a", if_generation_match=WRONG), 412),
    Row("overwrite nothing", _put("none", if_generation_match=WRONG), 412),
)
"""Multipart uploads: other emulators check these as well."""

REFUSALS: tuple[Row, ...] = (
    *CREATION,
    Row("overwrite a wrong metageneration", _put("a", if_metageneration_match=WRONG), 412),
    Row("overwrite only if absent is false", _put("n", if_generation_not_match=0), 412),
    Row("resumable create twice", lambda g: _resumable(g, "a", 0), 412),
    Row("resumable overwrite wrong generation", lambda g: _resumable(g, "a", WRONG), 412),
    Row("resumable create overtaken", _overtaken_resumable, 412),
    Row("get a wrong generation", _get("a", if_generation_match=WRONG), 412),
    Row("get what is not there", _get("none"), 404),
    Row("download a wrong generation", _download("a", if_generation_match=WRONG), 412),
    Row("patch a wrong generation", _patch("a", if_generation_match=WRONG), 412),
    Row("patch a wrong metageneration", _patch("a", if_metageneration_match=WRONG), 412),
    Row("patch what is not there", _patch("none", if_generation_match=WRONG), 404),
    Row("delete a wrong generation", _delete("a", if_generation_match=WRONG), 412),
    Row("delete a wrong metageneration", _delete("a", if_metageneration_match=WRONG), 412),
    Row("delete what is not there", _delete("none"), 404),
    Row("copy onto an object", _copy("a", "b", if_generation_match=0), 412),
    Row("copy a wrong source", _copy("a", "c", if_source_generation_match=WRONG), 412),
    Row("rewrite onto an object", _rewrite("a", "b", if_generation_match=0), 412),
    Row("rewrite a wrong source", _rewrite("a", "c", if_source_generation_match=WRONG), 412),
    Row("move onto an object", _move("a", "b", if_generation_match=0), 412),
    Row("move a wrong source", _move("a", "c", if_source_generation_match=WRONG), 412),
    Row(
        "move a wrong source metageneration",
        _move("a", "c", if_source_metageneration_match=WRONG),
        412,
    ),
    Row("move twice", _move_twice, 404),
    Row("move onto itself", _move("a", "a"), 400),
    Row("custom time goes back", lambda g: _custom_time_then(g, EARLY), 400),
    Row("custom time vanishes", lambda g: _custom_time_then(g, None), 400),
    Row("get in a bucket that is not there", _get_in_missing_bucket, 404),
    Row("list a bucket that is not there", _list_missing_bucket, 404),
    Row("too much metadata", _too_much_metadata, 400),
    Row("a range past the end", _download("a", start=99), 416),
    Row("a name with a line break", _put("a\nb"), 400),
    # From here on: what the client cannot say.
    Row("simple upload, create twice", _simple_upload, 412),
    Row("unchanged since", _get_unless_changed, 304),
    Row("a page that is none", _list_a_page_that_is_none, 400),
    Row("a generation that is no number", _delete_a_generation_that_is_none, 400),
    Row("content that does not fit its checksum", _upload_with_a_wrong_checksum, 400),
    Row("an unknown method", _post_to_an_object, 405),
)
