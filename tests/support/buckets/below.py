"""A bucket whose root is a prefix of another one's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from segrelay.bucket import Bucket, ObjectInfo
from segrelay.errors import ObjectNotFoundError


class BucketBelow:
    """``inner`` from ``prefix`` on; a name that leaves it is refused by ``inner``."""

    def __init__(self, inner: Bucket, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix

    def describe(self) -> str:
        return self._inner.describe()

    def list(self, prefix: str) -> list[ObjectInfo]:
        return [self._seen(info) for info in self._inner.list(self._prefix + prefix)]

    def stat(self, name: str) -> ObjectInfo:
        return self._seen(self._inner.stat(self._name(name)))

    def read(self, name: str, *, limit: int) -> bytes:
        return self._inner.read(self._name(name), limit=limit)

    def create(self, name: str, data: bytes) -> ObjectInfo:
        return self._seen(self._inner.create(self._name(name), data))

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        return self._seen(self._inner.replace(self._name(name), data))

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        moved = self._inner.move(self._name(source), self._name(destination), generation=generation)
        return self._seen(moved)

    def delete(self, name: str, *, generation: int) -> None:
        self._inner.delete(self._name(name), generation=generation)

    def read_heartbeat(self, name: str) -> ObjectInfo:
        return self._seen(self._inner.read_heartbeat(self._name(name)))

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        return self._seen(self._inner.take_over(self._name(name), metadata, generation=generation))

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        return self._seen(self._inner.refresh(self._name(name), metadata, generation=generation))

    def _name(self, name: str) -> str:
        if name.startswith("/"):
            raise ObjectNotFoundError(name)
        return self._prefix + name

    def _seen(self, info: ObjectInfo) -> ObjectInfo:
        return replace(info, name=info.name.removeprefix(self._prefix))
