"""One stored object: its bytes, its versions, the fields a user may set."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import google_crc32c

from infra.fake_gcs.errors import bad_request

Fields = Mapping[str, Any]

_TEXT_FIELDS = (
    "contentType",
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
)
METADATA_LIMIT = 8 * 1024
"""Bytes of keys and values. https://cloud.google.com/storage/quotas#objects"""

NAME_LIMIT = 1024
"""Bytes of UTF-8. https://cloud.google.com/storage/docs/objects#naming"""


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """A live object; every change makes a new one."""

    bucket: str
    name: str
    data: bytes
    generation: int
    metageneration: int
    created: datetime
    updated: datetime
    fields: Fields

    def resource(self) -> dict[str, Any]:
        """The object's JSON. https://cloud.google.com/storage/docs/json_api/v1/objects"""
        path = f"b/{self.bucket}/o/{quote(self.name, safe='')}"
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": f"https://www.googleapis.com/storage/v1/{path}",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "storageClass": "STANDARD",
            "size": str(len(self.data)),
            "md5Hash": md5(self.data),
            "crc32c": crc32c(self.data),
            "etag": self.etag,
            "timeCreated": _rfc3339(self.created),
            "updated": _rfc3339(self.updated),
            "timeStorageClassUpdated": _rfc3339(self.created),
            **{key: value for key, value in self.fields.items() if value not in (None, {})},
        }

    @property
    def etag(self) -> str:
        """Changes with content and metadata."""
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    @property
    def content_type(self) -> str:
        """Media type of the content."""
        return str(self.fields.get("contentType") or "application/octet-stream")


def check_name(name: str) -> None:
    """Raises ApiError 400 for what cannot name an object."""
    size = len(name.encode())
    if not 1 <= size <= NAME_LIMIT or "\r" in name or "\n" in name or name in (".", ".."):
        raise bad_request("Invalid object name.")
    if name.startswith(".well-known/acme-challenge/"):
        raise bad_request("Object names may not start with .well-known/acme-challenge/.")


def new_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a user sets with an upload; raises ApiError 400."""
    return changed_fields({}, document)


def changed_fields(old: Fields, changes: Mapping[str, Any]) -> dict[str, Any]:
    """``old`` after a PATCH: null deletes, ``metadata`` is merged key by key.

    Raises
    ------
    ApiError
        400: a value has the wrong type, the metadata is too big, or ``customTime`` would go
        back or vanish.
    """
    fields = dict(old)
    for name in _TEXT_FIELDS:
        if name in changes:
            fields[name] = _text(name, changes[name])
    if "metadata" in changes:
        fields["metadata"] = _merged(old.get("metadata") or {}, changes["metadata"])
    if "customTime" in changes:
        fields["customTime"] = _later(old.get("customTime"), changes["customTime"])
    return fields


def md5(data: bytes) -> str:
    """MD5 in base64, as ``md5Hash`` carries it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def crc32c(data: bytes) -> str:
    """CRC-32C, big-endian, in base64, as ``crc32c`` carries it."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def _text(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise bad_request(f"Invalid value for {name}.")
    return value


def _merged(old: Mapping[str, str], changes: object) -> dict[str, str]:
    if changes is None:
        return {}
    if not isinstance(changes, dict):
        raise bad_request("Invalid value for metadata.")
    merged = dict(old)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, str):
            merged[key] = value
        else:
            raise bad_request(f"Invalid value for metadata {key}.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in merged.items()) > (
        METADATA_LIMIT
    ):
        raise bad_request("The metadata of the object is too large.")
    return merged


def _later(old: str | None, new: object) -> str:
    if not isinstance(new, str):
        raise bad_request("Custom-Time cannot be removed.")
    if old is not None and _moment(new) < _moment(old):
        raise bad_request("Custom-Time cannot be set to an earlier time.")
    _moment(new)
    return new


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise bad_request("Invalid value for customTime.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
