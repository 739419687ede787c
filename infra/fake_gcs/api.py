"""The JSON API: what each request does to the store.

Source: https://cloud.google.com/storage/docs/json_api/v1
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from infra.fake_gcs.errors import ApiError, bad_request
from infra.fake_gcs.listing import list_page
from infra.fake_gcs.messages import Answer, Request, json_answer
from infra.fake_gcs.objects import StoredObject, crc32c, md5
from infra.fake_gcs.preconditions import NO_CONDITIONS, Conditions, integer
from infra.fake_gcs.store import Place, Store
from infra.fake_gcs.uploads import Uploads

Names = Mapping[str, str]
"""The parts of the path, decoded: ``bucket``, ``object``, ``target_bucket``, ``target``."""

_BYTES = re.compile(r"bytes=(\d*)-(\d*)")


class Api:
    """Answers requests; raises ApiError for what it refuses.

    Parameters
    ----------
    lies:
        Operations whose conditions are not looked at, as in other emulators: such a store
        must be found out.
    """

    def __init__(self, store: Store, *, lies: Collection[str] = ()) -> None:
        self._store = store
        self._uploads = Uploads(store)
        self._lies = frozenset(lies)

    def list_buckets(self, _names: Names, _request: Request) -> Answer:
        """``buckets.list``"""
        items = [_bucket_resource(name) for name in self._store.bucket_names()]
        return json_answer({"kind": "storage#buckets", "items": items})

    def get_bucket(self, names: Names, _request: Request) -> Answer:
        """``buckets.get``"""
        self._store.objects(names["bucket"])
        return json_answer(_bucket_resource(names["bucket"]))

    def get_layout(self, names: Names, _request: Request) -> Answer:
        """``buckets.getStorageLayout``; the ``gcloud`` program asks for it."""
        self._store.objects(names["bucket"])
        return json_answer(
            {
                "kind": "storage#storageLayout",
                "bucket": names["bucket"],
                "location": "US-CENTRAL1",
                "locationType": "region",
                "hierarchicalNamespace": {"enabled": False},
            }
        )

    def list_objects(self, names: Names, request: Request) -> Answer:
        """``objects.list``"""
        return json_answer(
            list_page(
                self._store.objects(names["bucket"], request.query.get("prefix", "")),
                request.query,
            )
        )

    def get_object(self, names: Names, request: Request) -> Answer:
        """``objects.get``"""
        return json_answer(self._read("get", names, request).resource())

    def download(self, names: Names, request: Request) -> Answer:
        """``objects.get`` with ``alt=media``, whole or one range of bytes."""
        return _content(self._read("download", names, request), request.headers.get("range"))

    def upload(self, names: Names, request: Request) -> Answer:
        """``objects.insert``"""
        return self._uploads.begin(names["bucket"], request, self._conditions("upload", request))

    def resume_upload(self, names: Names, request: Request) -> Answer:
        """The next chunk of a resumable upload."""
        return self._uploads.resume(names["bucket"], request)

    def patch(self, names: Names, request: Request) -> Answer:
        """``objects.patch``"""
        return self._change("patch", names, request, whole=False)

    def update(self, names: Names, request: Request) -> Answer:
        """``objects.update``"""
        return self._change("update", names, request, whole=True)

    def delete(self, names: Names, request: Request) -> Answer:
        """``objects.delete``: 204 without a body."""
        generation = integer(request.query, "generation")
        self._store.delete(_place(names), self._conditions("delete", request), generation)
        return Answer(status=204)

    def copy(self, names: Names, request: Request) -> Answer:
        """``objects.copy``"""
        return json_answer(self._copy("copy", names, request).resource())

    def rewrite(self, names: Names, request: Request) -> Answer:
        """``objects.rewrite``, always done in one call."""
        written = self._copy("rewrite", names, request)
        size = str(len(written.data))
        return json_answer(
            {
                "kind": "storage#rewriteResponse",
                "totalBytesRewritten": size,
                "objectSize": size,
                "done": True,
                "resource": written.resource(),
            }
        )

    def move(self, names: Names, request: Request) -> Answer:
        """``objects.move``"""
        moved = self._store.move(
            _place(names),
            names["target"],
            self._conditions("move", request),
            self._conditions("move", request, source=True),
        )
        return json_answer(moved.resource())

    def _read(self, operation: str, names: Names, request: Request) -> StoredObject:
        generation = integer(request.query, "generation")
        conditions = self._conditions(operation, request)
        return self._store.get(_place(names), conditions, generation)

    def _change(self, operation: str, names: Names, request: Request, *, whole: bool) -> Answer:
        generation = integer(request.query, "generation")
        conditions = self._conditions(operation, request)
        place, document = _place(names), request.document()
        changed = self._store.change(place, document, conditions, generation, whole=whole)
        return json_answer(changed.resource())

    def _copy(self, operation: str, names: Names, request: Request) -> StoredObject:
        return self._store.copy(
            _place(names),
            Place(names["target_bucket"], names["target"]),
            request.document() or None,
            self._conditions(operation, request),
            self._conditions(operation, request, source=True),
            integer(request.query, "sourceGeneration"),
        )

    def _conditions(self, operation: str, request: Request, *, source: bool = False) -> Conditions:
        conditions = Conditions.from_query(request.query, source=source)
        return NO_CONDITIONS if operation in self._lies else conditions


def _place(names: Names) -> Place:
    return Place(names["bucket"], names["object"])


def _bucket_resource(name: str) -> dict[str, Any]:
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "location": "US-CENTRAL1",
        "locationType": "region",
        "storageClass": "STANDARD",
        "metageneration": "1",
        "versioning": {"enabled": False},
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
        "iamConfiguration": {
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "enforced",
        },
    }


def _content(item: StoredObject, wanted: str | None) -> Answer:
    size = len(item.data)
    headers = {
        "Content-Type": item.content_type,
        "Accept-Ranges": "bytes",
        "ETag": item.etag,
        "X-Goog-Generation": str(item.generation),
        "X-Goog-Metageneration": str(item.metageneration),
        "X-Goog-Hash": f"crc32c={crc32c(item.data)},md5={md5(item.data)}",
        "X-Goog-Stored-Content-Encoding": "identity",
        "X-Goog-Stored-Content-Length": str(size),
    }
    part = _byte_range(wanted, size)
    if part is None:
        return Answer(headers=headers, body=item.data)
    start, stop = part
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Answer(status=206, headers=headers, body=item.data[start:stop])


def _byte_range(wanted: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None for the whole. RFC 9110, section 14.1.2."""
    match = _BYTES.fullmatch(wanted) if wanted else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < start:
            raise bad_request("Invalid Range.")
    if start >= size:
        raise ApiError(
            416,
            "requestedRangeNotSatisfiable",
            "The requested range cannot be satisfied.",
        )
    return start, stop
