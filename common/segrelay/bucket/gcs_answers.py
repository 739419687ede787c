"""Distinguishes answers of Google Cloud Storage from those of a server before it.

A proxy, a login page or a firewall may answer any request, with any status. Its page is no
object, its 404 says nothing of an object, its empty JSON is no empty listing. Each answer of
the store has a mark that such a server does not give by chance:

=============  ==================================================================
a listing      ``"kind": "storage#objects"``, on an empty page too
a content      ``x-goog-generation``, and the CRC-32C of the bytes that came
a refusal      the API's error document, or the words "No such object"
=============  ==================================================================

Source: https://cloud.google.com/storage/docs/json_api/v1/objects/list,
https://cloud.google.com/storage/docs/xml-api/reference-headers and
https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

from __future__ import annotations

import base64
import json
from typing import Any

import google_crc32c
from google.api_core import exceptions as api
from google.cloud import storage  # type: ignore[import-untyped]

from segrelay.errors import StoreUnavailableError

_LIST_KIND = "storage#objects"
_ABSENT = "No such object"
"""In the body of a download's 404, which is text."""


def not_the_store() -> StoreUnavailableError:
    """Something else answered."""
    return StoreUnavailableError(
        "There is a page, or another service's answer, where Google Cloud Storage should answer.",
        remedy="Nothing: it is tried again automatically. If it lasts, look at what is between "
        "this computer and the bucket (proxy, login page, firewall).",
    )


def check_page(page: Any) -> None:
    """One page of a listing, as decoded JSON.

    Raises
    ------
    StoreUnavailableError
        It is not the store's.
    """
    if not isinstance(page, dict) or page.get("kind") != _LIST_KIND:
        raise not_the_store()
    if not isinstance(page.get("items", []), list):
        raise not_the_store()


def check_content(blob: storage.Blob, data: bytes, *, is_whole: bool) -> None:
    """The bytes that a download has brought, by the headers that came with them.

    Parameters
    ----------
    blob:
        After the download, which has put the headers there.
    data:
        The bytes as they are stored.
    is_whole:
        Whether they are all of the object: the checksum is that of the whole.

    Raises
    ------
    StoreUnavailableError
        They are not the store's, or not those of this object.
    """
    if blob.generation is None:
        raise not_the_store()
    if is_whole and blob.crc32c is not None and blob.crc32c != _crc32c(data):
        raise not_the_store()


def is_stores_own(error: api.GoogleAPICallError) -> bool:
    """Return whether a refusal is the store's."""
    if error.errors:
        return True
    try:
        text = str(getattr(error.response, "text", "") or "")
    except (OSError, RuntimeError):
        # The body of a response that was closed before it was read.
        return False
    if _ABSENT in text:
        return True
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and isinstance(document.get("error"), dict)


def _crc32c(data: bytes) -> str:
    return base64.b64encode(int(google_crc32c.value(data)).to_bytes(4, "big")).decode()
