"""Puts very many objects into a store by its own bulk means, each as if it was written alone."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket

AT_ONCE = 5_000
"""Objects in one transaction or pipeline."""

Objects = Iterable[tuple[str, bytes]]
"""Names and contents."""


def fill(bucket: Bucket, objects: Objects) -> None:
    """Write new objects.

    Raises
    ------
    TypeError
        The store has no bulk means here: that of the fake cloud bucket is the fake's own.
    """
    if isinstance(bucket, LocalBucket):
        for name, data in objects:
            path = bucket.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return
    if bucket.describe().startswith("redis"):
        _fill_redis(bucket, objects)
        return
    if bucket.describe() == "database:":
        _fill_database(objects)
        return
    raise TypeError(f"{bucket.describe()} cannot be filled")


def _fill_redis(bucket: Bucket, objects: Objects) -> None:
    from segrelay.bucket.redis import RedisBucket

    if not isinstance(bucket, RedisBucket):
        raise TypeError("not a Redis")
    keys, client = bucket._keys, bucket._client
    for some in _batches(objects):
        # Microseconds.
        now = time.time_ns() // 1000
        with client.pipeline(transaction=False) as pipeline:
            for name, data in some:
                pipeline.hset(
                    keys.object(name),
                    items=["content", data, "generation", _generation(), "updated", now],
                )
            pipeline.zadd(keys.names, {name: 0 for name, _ in some})
            pipeline.execute()


def _fill_database(objects: Objects) -> None:
    from django.db import connection

    from gcp_side.labseg.queue.rows import QueueObject

    for some in _batches(objects):
        now = datetime.now(UTC)
        QueueObject.objects.bulk_create(
            QueueObject(
                name=name, generation=_generation(), updated=now, size=len(data), content=data
            )
            for name, data in some
        )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # As its own daemon does within minutes.
            cursor.execute(f"VACUUM ANALYZE {QueueObject._meta.db_table}")


def _batches(objects: Objects) -> Iterable[Sequence[tuple[str, bytes]]]:
    rest = iter(objects)
    while some := list(itertools.islice(rest, AT_ONCE)):
        yield some


def _generation() -> int:
    return secrets.randbits(62) | 1
