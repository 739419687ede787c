"""A bucket that fails at the n-th operation: before it, after it, or by killing the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeVar

from segrelay.bucket import Bucket, ObjectInfo
from segrelay.errors import StoreUnavailableError

T = TypeVar("T")


class SimulatedCrash(BaseException):
    """The process died here; no handler of the code under test may see it."""


class Fault(Enum):
    """What happens at the chosen operation."""

    LOST_REQUEST = "the request never arrived"
    LOST_ANSWER = "it was done, but the answer was lost"
    CRASH_BEFORE = "the process died before it"
    CRASH_AFTER = "the process died after it"


class FaultyBucket:
    """Wraps a bucket; the operation number ``at`` (from 1) meets ``fault``, once."""

    def __init__(self, inner: Bucket, *, at: int, fault: Fault) -> None:
        self._inner = inner
        self._at = at
        self._fault = fault
        self.operations = 0

    def describe(self) -> str:
        return self._inner.describe()

    def list(self, prefix: str) -> list[ObjectInfo]:
        return self._run(lambda: self._inner.list(prefix))

    def stat(self, name: str) -> ObjectInfo:
        return self._run(lambda: self._inner.stat(name))

    def read_heartbeat(self, name: str) -> ObjectInfo:
        return self._run(lambda: self._inner.read_heartbeat(name))

    def read(self, name: str, *, limit: int) -> bytes:
        return self._run(lambda: self._inner.read(name, limit=limit))

    def create(self, name: str, data: bytes) -> ObjectInfo:
        return self._run(lambda: self._inner.create(name, data))

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        return self._run(lambda: self._inner.replace(name, data))

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        return self._run(lambda: self._inner.move(source, destination, generation=generation))

    def delete(self, name: str, *, generation: int) -> None:
        self._run(lambda: self._inner.delete(name, generation=generation))

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        return self._run(lambda: self._inner.take_over(name, metadata, generation=generation))

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        return self._run(lambda: self._inner.refresh(name, metadata, generation=generation))

    def _run(self, operation: Callable[[], T]) -> T:
        self.operations += 1
        due = self.operations == self._at
        if due and self._fault is Fault.LOST_REQUEST:
            raise StoreUnavailableError("lost request")
        if due and self._fault is Fault.CRASH_BEFORE:
            raise SimulatedCrash
        answer = operation()
        if due and self._fault is Fault.LOST_ANSWER:
            raise StoreUnavailableError("lost answer")
        if due and self._fault is Fault.CRASH_AFTER:
            raise SimulatedCrash
        return answer
