"""Listing: prefix, delimiter, glob, offsets and pages.

Source: https://cloud.google.com/storage/docs/json_api/v1/objects/list
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any

from infra.fake_gcs.errors import bad_request
from infra.fake_gcs.objects import StoredObject
from infra.fake_gcs.preconditions import integer

MOST_RESULTS = 1000
"""Items and prefixes in one page; more is cut to this."""


def list_page(objects: Iterable[StoredObject], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of a listing as the API answers it; ``objects`` are sorted by name.

    Raises
    ------
    ApiError
        400: a parameter makes no sense.
    """
    limit = integer(query, "maxResults")
    if limit == 0:
        raise bad_request("Invalid value for maxResults.")
    size = min(limit or MOST_RESULTS, MOST_RESULTS)
    entries = list(_entries(objects, query))
    last = _last_of_page(query.get("pageToken"))
    rest = [entry for entry in entries if last is None or entry[0].encode() > last.encode()]
    page = rest[:size]
    answer: dict[str, Any] = {"kind": "storage#objects"}
    items = [item.resource() for _, item in page if item is not None]
    prefixes = [name for name, item in page if item is None]
    if items:
        answer["items"] = items
    if prefixes:
        answer["prefixes"] = prefixes
    if len(rest) > size:
        answer["nextPageToken"] = base64.urlsafe_b64encode(page[-1][0].encode()).decode()
    return answer


def glob_pattern(glob: str) -> re.Pattern[str]:
    """``*`` and ``?`` stop at ``/``, ``**`` does not; ``[…]`` and ``{a,b}`` as usual.

    Source: https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob
    """
    tokens = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
    parts = re.findall(r"\*\*|\[[^\]]+\]|\\.|.", glob, flags=re.DOTALL)
    depth = 0
    text = ""
    for part in parts:
        depth += (part == "{") - (part == "}")
        is_plain = part not in tokens or (part == "," and depth == 0)
        if part.startswith("[") and len(part) > 1:
            text += part.replace("[!", "[^")
        else:
            text += re.escape(part[-1]) if is_plain else tokens[part]
    try:
        return re.compile(text, flags=re.DOTALL)
    except re.error:
        raise bad_request("Invalid value for matchGlob.") from None


def _entries(
    objects: Iterable[StoredObject], query: Mapping[str, str]
) -> Iterable[tuple[str, StoredObject | None]]:
    """Objects, and None beside the name of a common prefix, each prefix once."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    glob = glob_pattern(query["matchGlob"]) if query.get("matchGlob") else None
    start, end = query.get("startOffset", "").encode(), query.get("endOffset", "").encode()
    seen: set[str] = set()
    for item in objects:
        name = item.name
        if not name.startswith(prefix) or (glob and not glob.fullmatch(name)):
            continue
        if name.encode() < start or (end and name.encode() >= end):
            continue
        head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        if not found:
            yield name, item
        elif (common := prefix + head + delimiter) not in seen:
            seen.add(common)
            yield common, None


def _last_of_page(token: str | None) -> str | None:
    if not token:
        return None
    try:
        return base64.b64decode(token, altchars="-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise bad_request("Invalid value for pageToken.") from None
