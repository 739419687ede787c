"""The buckets and their objects: every operation is one step under one lock.

Generations grow and are never given twice. A write makes a new generation with
metageneration 1, a metadata change keeps the generation and adds 1 to the metageneration, a
move gives the new name a new generation and keeps content and metadata.
Source: https://cloud.google.com/storage/docs/metadata#generation-number
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from infra.fake_gcs.errors import bad_request, not_found
from infra.fake_gcs.objects import Fields, StoredObject, changed_fields, check_name, new_fields
from infra.fake_gcs.preconditions import NO_CONDITIONS, Conditions


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Place:
    """Where an object lies, or shall lie."""

    bucket: str
    name: str


class _Objects(dict[str, StoredObject]):
    """The live objects of a bucket; a listing costs no more than what it finds."""

    def __init__(self) -> None:
        super().__init__()
        self._order: list[str] = []

    def __setitem__(self, name: str, item: StoredObject) -> None:
        if name not in self:
            # The order of code points is that of the bytes of UTF-8.
            bisect.insort(self._order, name)
        super().__setitem__(name, item)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        del self._order[bisect.bisect_left(self._order, name)]

    def below(self, prefix: str) -> list[StoredObject]:
        """Those whose names begin with ``prefix``, by name."""
        found = []
        for number in range(bisect.bisect_left(self._order, prefix), len(self._order)):
            name = self._order[number]
            if not name.startswith(prefix):
                break
            found.append(self[name])
        return found


class Store:
    """Objects in memory; thread-safe.

    Parameters
    ----------
    buckets:
        The only names that exist.
    now:
        The store's clock.
    destination_first:
        How a move answers whose source is gone while its destination exists: 404, or 412
        where this is True. The documentation does not say which check comes first.
    """

    def __init__(
        self,
        buckets: Iterable[str],
        *,
        now: Callable[[], datetime] = _utc_now,
        destination_first: bool = False,
    ) -> None:
        self._buckets = {name: _Objects() for name in buckets}
        self._now = now
        self._destination_first = destination_first
        self._lock = threading.RLock()
        self._last_generation = 0

    def bucket_names(self) -> list[str]:
        """The buckets that exist."""
        return sorted(self._buckets)

    def objects(self, bucket: str, prefix: str = "") -> list[StoredObject]:
        """The live objects of a bucket by name, in byte order of UTF-8."""
        with self._lock:
            return self._bucket(bucket).below(prefix)

    def get(
        self, place: Place, conditions: Conditions = NO_CONDITIONS, generation: int | None = None
    ) -> StoredObject:
        """One object; raises ApiError 404, 412 or 304."""
        with self._lock:
            live = self._need(place, generation)
            conditions.check(live, reading=True)
            return live

    def put(
        self, place: Place, data: bytes, fields: Fields, conditions: Conditions = NO_CONDITIONS
    ) -> StoredObject:
        """Write an object; raises ApiError 404 (bucket), 400 or 412."""
        check_name(place.name)
        with self._lock:
            self.check(place, conditions)
            return self._write(place, data, new_fields(fields))

    def check(self, place: Place, conditions: Conditions) -> None:
        """Whether a write would be let through now; raises ApiError 404 (bucket) or 412."""
        with self._lock:
            conditions.check(self._bucket(place.bucket).get(place.name))

    def change(
        self,
        place: Place,
        changes: dict[str, Any],
        conditions: Conditions = NO_CONDITIONS,
        generation: int | None = None,
        *,
        whole: bool = False,
    ) -> StoredObject:
        """PATCH the metadata, or replace all of it; raises ApiError 404, 400 or 412."""
        with self._lock:
            live = self._need(place, generation)
            conditions.check(live)
            kept = {"customTime": live.fields.get("customTime")} if whole else live.fields
            changed = replace(
                live,
                fields=changed_fields(kept, changes),
                metageneration=live.metageneration + 1,
                updated=self._now(),
            )
            self._bucket(place.bucket)[place.name] = changed
            return changed

    def delete(
        self, place: Place, conditions: Conditions = NO_CONDITIONS, generation: int | None = None
    ) -> None:
        """Remove an object; raises ApiError 404 or 412."""
        with self._lock:
            conditions.check(self._need(place, generation))
            del self._bucket(place.bucket)[place.name]

    def copy(
        self,
        source: Place,
        target: Place,
        fields: Fields | None,
        conditions: Conditions = NO_CONDITIONS,
        source_conditions: Conditions = NO_CONDITIONS,
        source_generation: int | None = None,
    ) -> StoredObject:
        """Copy; ``fields`` replaces the metadata, None keeps it. Raises ApiError 404, 412."""
        check_name(target.name)
        with self._lock:
            live = self._need(source, source_generation)
            source_conditions.check(live)
            self.check(target, conditions)
            kept = live.fields if fields is None else new_fields(fields)
            return self._write(target, live.data, kept)

    def move(
        self,
        source: Place,
        name: str,
        conditions: Conditions = NO_CONDITIONS,
        source_conditions: Conditions = NO_CONDITIONS,
    ) -> StoredObject:
        """Rename within the bucket in one step; raises ApiError 404, 400 or 412."""
        check_name(name)
        if name == source.name:
            raise bad_request("The source and destination object names must differ.")
        target = Place(source.bucket, name)
        with self._lock:
            if self._destination_first and target.name in self._bucket(target.bucket):
                self.check(target, conditions)
            live = self._need(source, None)
            source_conditions.check(live)
            self.check(target, conditions)
            moved = self._write(target, live.data, live.fields)
            del self._bucket(source.bucket)[source.name]
            return moved

    def _bucket(self, name: str) -> _Objects:
        try:
            return self._buckets[name]
        except KeyError:
            raise not_found("The specified bucket does not exist.") from None

    def _need(self, place: Place, generation: int | None) -> StoredObject:
        live = self._bucket(place.bucket).get(place.name)
        if live is None or generation not in (None, live.generation):
            raise not_found(f"No such object: {place.bucket}/{place.name}")
        return live

    def _write(self, place: Place, data: bytes, fields: Fields) -> StoredObject:
        now = self._now()
        self._last_generation = max(self._last_generation + 1, int(now.timestamp() * 1_000_000))
        written = StoredObject(
            bucket=place.bucket,
            name=place.name,
            data=data,
            generation=self._last_generation,
            metageneration=1,
            created=now,
            updated=now,
            fields=fields,
        )
        self._bucket(place.bucket)[place.name] = written
        return written
