"""Checks at start, before the first claim, that the store enforces conditions.

Only agents run it; it stays here because it tests what claims, lease and reaper rely on. Several
emulators and gateways accept conditional requests and ignore the condition. On such
a store two agents own one job and nobody notices, so the program refuses to start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from segrelay import names
from segrelay.bucket import Bucket, CheckedServer, ServerRemark
from segrelay.errors import (
    FixConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    QueueConflictError,
)
from segrelay.queue.lease import new_nonce


def verify_store(bucket: Bucket) -> Sequence[ServerRemark]:
    """Try what an honest store refuses, under ``v1/jobs/.probe/``, and clean up.

    Returns
    -------
    What an operator should know about the server's settings, where it has any.

    Raises
    ------
    FixConfigurationError
        ``store-dishonest``: the store let one of them through. ``store-evicts``,
        ``store-not-durable``: it may lose what it has acknowledged.
    StoreUnavailableError
        It did not answer; nothing is known.
    """
    remarks = bucket.check_server() if isinstance(bucket, CheckedServer) else []
    probe = _Probe(bucket)
    try:
        probe.try_objects()
        probe.try_beacon()
    finally:
        probe.clean_up()
    return remarks


class _Probe:
    """The objects of one self-test."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._prefix = f"{names.PROBE}{new_nonce()}-"
        self._first, self._second = f"{self._prefix}a.json", f"{self._prefix}b.json"
        self._third, self._fourth = f"{self._prefix}c.json", f"{self._prefix}d.json"
        self._heartbeat = f"{self._prefix}beacon.json"

    def try_objects(self) -> None:
        """Creating twice, moving and deleting on wrong conditions, moving twice."""
        bucket = self._bucket
        first = bucket.create(self._first, b"1").generation
        self._refused(
            "creating an object twice",
            ObjectExistsError,
            lambda: bucket.create(self._first, b"2"),
        )
        self._refused(
            "moving another generation",
            PreconditionFailedError,
            lambda: bucket.move(self._first, self._second, generation=first + 1),
        )
        self._refused(
            "deleting another generation",
            PreconditionFailedError,
            lambda: bucket.delete(self._first, generation=first + 1),
        )
        third = bucket.create(self._third, b"3").generation
        self._refused(
            "moving onto an existing object",
            ObjectExistsError,
            lambda: bucket.move(self._third, self._first, generation=third),
        )
        with contextlib.suppress(ObjectNotFoundError):
            # A move that was made, but whose answer was lost, finds no source when repeated.
            bucket.move(self._first, self._second, generation=first)
        self._refused(
            "moving an object twice",
            ObjectNotFoundError,
            lambda: bucket.move(self._first, self._fourth, generation=first),
        )
        if self._content(self._second) != b"1":
            raise self._dishonest("the loss of a moved object")

    def try_beacon(self) -> None:
        """Taking over and rewriting a heartbeat object on wrong conditions."""
        bucket = self._bucket
        generation = bucket.take_over(self._heartbeat, {"beat": "1"}, generation=0).generation
        self._refused(
            "taking over another generation of a heartbeat",
            PreconditionFailedError,
            lambda: bucket.take_over(self._heartbeat, {"beat": "2"}, generation=0),
        )
        self._refused(
            "rewriting another generation of a heartbeat",
            PreconditionFailedError,
            lambda: bucket.refresh(self._heartbeat, {"beat": "3"}, generation=generation + 1),
        )
        refreshed = bucket.refresh(self._heartbeat, {"beat": "4"}, generation=generation)
        if (refreshed.generation, bucket.read_heartbeat(self._heartbeat).metadata) != (
            generation,
            {"beat": "4"},
        ):
            raise self._dishonest("the loss of a heartbeat")

    def clean_up(self) -> None:
        """Remove what is left; a leftover does no harm."""
        for info in self._bucket.list(self._prefix):
            with contextlib.suppress(QueueConflictError):
                self._bucket.delete(info.name, generation=info.generation)

    def _content(self, name: str) -> bytes | None:
        try:
            return self._bucket.read(name, limit=10)
        except ObjectNotFoundError:
            return None

    def _refused(
        self, what: str, error: type[QueueConflictError], attempt: Callable[[], object]
    ) -> None:
        try:
            attempt()
        except error:
            return
        except QueueConflictError:
            # Refused for another reason: an earlier promise was already broken in silence.
            raise self._dishonest(what) from None
        raise self._dishonest(what)

    def _dishonest(self, what: str) -> FixConfigurationError:
        return FixConfigurationError(
            f"{self._bucket.describe()} is not safe for a queue: it let through {what}.",
            code="store-dishonest",
            remedy="Use a real Google Cloud Storage bucket or a directory; most emulators "
            "ignore preconditions.",
        )
