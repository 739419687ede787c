"""The promises of the bucket protocol, as requests that every store refuses: any store at all.

Unlike :mod:`lab_side.conformance.cases`, which knows the requests of Google Cloud Storage alone,
these are calls of :class:`segrelay.bucket.Bucket`.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lab_side.conformance.results import Outcome, RowResult
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.errors import (
    FixConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    QueueConflictError,
    SegRelayError,
    StoreUnavailableError,
)

TRIES = 3
"""How often a row is tried while the store does not answer."""

PAUSE = 2.0
"""Seconds before a row is tried again."""

DONE, KEPT, LOST = "done", "kept", "lost"
"""What is got where nothing was refused; of a row about what a store keeps, whether it did."""


class Place:
    """A prefix of one bucket with the objects that each row is tried on.

    Parameters
    ----------
    bucket:
        The queue's root.
    prefix:
        Of everything that is touched, with a slash at its end.
    """

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.a = bucket.create(self.name("a"), b"1").generation
        """Generation of the object ``a``."""
        bucket.create(self.name("b"), b"2")
        self.beat = bucket.take_over(self.name("beat"), {"k": "1"}, generation=0).generation
        """Generation of the heartbeat object ``beat``."""

    def name(self, name: str) -> str:
        """The full name of an object."""
        return f"{self.prefix}{name}.json"

    def create(self, name: str) -> None:
        """Create an object."""
        self.bucket.create(self.name(name), b"new")

    def move(self, source: str, destination: str, generation: int) -> None:
        """Move an object."""
        self.bucket.move(self.name(source), self.name(destination), generation=generation)

    def delete(self, name: str, generation: int) -> None:
        """Delete an object."""
        self.bucket.delete(self.name(name), generation=generation)

    def take_over(self, name: str, generation: int) -> int:
        """Take a heartbeat object over; returns its generation."""
        return self.bucket.take_over(self.name(name), {"k": "2"}, generation=generation).generation

    def refresh(self, name: str, generation: int) -> int:
        """Rewrite a heartbeat object; returns its generation."""
        return self.bucket.refresh(self.name(name), {"k": "3"}, generation=generation).generation

    def content(self, name: str) -> bytes | None:
        """The bytes of an object; None where there is none."""
        try:
            return self.bucket.read(self.name(name), limit=100)
        except ObjectNotFoundError:
            return None

    def clean_up(self) -> None:
        """Remove what is left; a leftover does no harm."""
        for info in self.bucket.list(self.prefix):
            with contextlib.suppress(QueueConflictError):
                self.bucket.delete(info.name, generation=info.generation)


@dataclass(frozen=True)
class Promise:
    """One call, and how it must be refused."""

    what: str
    attempt: Callable[[Place], str | None]
    """Makes the call; returns :data:`KEPT` or :data:`LOST` where nothing is to be refused."""
    expected: str
    """The code of the refusal, or :data:`KEPT`."""


def _refused(
    what: str, error: type[QueueConflictError], attempt: Callable[[Place], object]
) -> Promise:
    def call(place: Place) -> None:
        attempt(place)

    return Promise(what, call, error.code)


def _keeps(what: str, attempt: Callable[[Place], bool]) -> Promise:
    return Promise(what, lambda place: KEPT if attempt(place) else LOST, KEPT)


def _move_twice(place: Place) -> None:
    place.move("a", "first", place.a)
    place.move("a", "second", place.a)


def _move_onto(place: Place) -> bool:
    with contextlib.suppress(ObjectExistsError):
        place.move("a", "b", place.a)
    return (place.content("a"), place.content("b")) == (b"1", b"2")


def _create_onto(place: Place) -> bool:
    with contextlib.suppress(ObjectExistsError):
        place.create("a")
    return place.content("a") == b"1"


def _move_keeps(place: Place) -> bool:
    place.move("a", "first", place.a)
    return place.content("a") is None and place.content("first") == b"1"


def _delete_twice(place: Place) -> None:
    place.delete("a", place.a)
    place.delete("a", place.a)


def _delete_what_was_written_again(place: Place) -> None:
    place.delete("a", place.a)
    place.create("a")
    place.delete("a", place.a)


def _refresh_what_was_taken_over(place: Place) -> None:
    place.take_over("beat", place.beat)
    place.refresh("beat", place.beat)


def _refresh_keeps(place: Place) -> bool:
    is_same = place.refresh("beat", place.beat) == place.beat
    seen = place.bucket.read_heartbeat(place.name("beat"))
    return is_same and (seen.generation, seen.metadata) == (place.beat, {"k": "3"})


def _lists_in_order(place: Place) -> bool:
    for name in ("c-10", "c-2", "aa", "B"):
        place.create(name)
    seen = [info.name for info in place.bucket.list(place.prefix)]
    return seen == sorted(seen) and len(seen) == 7


PROMISES: tuple[Promise, ...] = (
    _refused("create twice", ObjectExistsError, lambda p: p.create("a")),
    _keeps("content of what could not be created", _create_onto),
    _refused("stat what is not there", ObjectNotFoundError, lambda p: p.bucket.stat(p.name("no"))),
    _refused(
        "read what is not there",
        ObjectNotFoundError,
        lambda p: p.bucket.read(p.name("no"), limit=1),
    ),
    _refused("move onto an object", ObjectExistsError, lambda p: p.move("a", "b", p.a)),
    _keeps("both objects of a move that was refused", _move_onto),
    _refused(
        "move a wrong generation", PreconditionFailedError, lambda p: p.move("a", "c", p.a + 1)
    ),
    _refused("move what is not there", ObjectNotFoundError, lambda p: p.move("no", "c", p.a)),
    _refused("move twice", ObjectNotFoundError, _move_twice),
    _keeps("content of what was moved", _move_keeps),
    _refused(
        "delete a wrong generation", PreconditionFailedError, lambda p: p.delete("a", p.a + 1)
    ),
    _refused("delete what is not there", ObjectNotFoundError, lambda p: p.delete("no", p.a)),
    _refused("delete twice", ObjectNotFoundError, _delete_twice),
    _refused(
        "delete what was written again", PreconditionFailedError, _delete_what_was_written_again
    ),
    _refused(
        "read a heartbeat that is not there",
        ObjectNotFoundError,
        lambda p: p.bucket.read_heartbeat(p.name("no")),
    ),
    _refused(
        "take over as new what is there", PreconditionFailedError, lambda p: p.take_over("beat", 0)
    ),
    _refused(
        "take over a wrong generation",
        PreconditionFailedError,
        lambda p: p.take_over("beat", p.beat + 1),
    ),
    _refused(
        "refresh a wrong generation",
        PreconditionFailedError,
        lambda p: p.refresh("beat", p.beat + 1),
    ),
    _refused("refresh what is not there", ObjectNotFoundError, lambda p: p.refresh("no", p.beat)),
    _refused("refresh what was taken over", PreconditionFailedError, _refresh_what_was_taken_over),
    _keeps("generation and text of a heartbeat", _refresh_keeps),
    _keeps("order of a listing", _lists_in_order),
)
"""What the queue relies on, in the order of the protocol's operations."""


def try_promises(
    bucket: Bucket, promises: Sequence[Promise] = PROMISES, *, pause: float = PAUSE
) -> Iterator[RowResult]:
    """Try every promise, each on fresh objects under ``v1/jobs/.probe/``, and clean up."""
    folder = f"{names.PROBE}{secrets.token_hex(16)}"
    for number, promise in enumerate(promises):
        prefix = f"{folder}-{number:02d}-"
        result = _try(bucket, promise, prefix)
        for again in range(1, TRIES):
            if result.got is not None:
                break
            time.sleep(pause)
            result = _try(bucket, promise, f"{prefix}{again}-")
        yield result


def _try(bucket: Bucket, promise: Promise, prefix: str) -> RowResult:
    place = None
    try:
        place = Place(bucket, prefix)
        got = promise.attempt(place) or DONE
    except QueueConflictError as error:
        got = error.code if place is not None else f"{error.code} before"
    except StoreUnavailableError as error:
        return _not_known(promise, None, error.message)
    except FixConfigurationError as error:
        return _not_known(promise, error.code, error.message)
    finally:
        if place is not None:
            with contextlib.suppress(SegRelayError):
                place.clean_up()
    outcome = Outcome.OK if got == promise.expected else Outcome.DIFFERS
    return RowResult(what=promise.what, expected=promise.expected, got=got, outcome=outcome)


def _not_known(promise: Promise, got: str | None, why: str) -> RowResult:
    return RowResult(
        what=promise.what, expected=promise.expected, got=got, outcome=Outcome.NOT_KNOWN, why=why
    )
