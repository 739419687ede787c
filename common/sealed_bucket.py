"""A bucket that signs what it writes and checks who signed what it reads.

Jobs are signed by the site, results by agents (a cancellation by the site). All else that
lies in the bucket (attempts, progress, heartbeats, reasons) is information: whoever can write
to the bucket can delay a job, but neither make an agent run one nor make the site believe a
result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common import names
from common.bucket import Bucket, ObjectInfo
from common.signing import Kind, SigningKey, Trust, open_envelope, seal

__all__ = ["SealedBucket"]

_KINDS = {
    names.PENDING: Kind.JOB,
    names.CLAIMED: Kind.JOB,
    names.DONE: Kind.JOB,
    names.FAILED: Kind.JOB,
    names.RESULTS: Kind.RESULT,
}
"""What lies under each prefix that holds signed documents."""

_ENVELOPE_ROOM = 4096
"""Bytes that an envelope adds, besides the escapes in its payload."""

_ESCAPED = 2
"""A document's JSON grows at most by this factor as text in JSON: quotes and line ends."""


@dataclass(frozen=True)
class SealedBucket:
    """Another bucket, with signatures; moves keep them, as they keep all bytes.

    Parameters
    ----------
    inner:
        Where the objects lie.
    key:
        Signs jobs and results written here; None writes them unsigned.
    trust:
        Whose jobs and results are believed.
    """

    inner: Bucket
    key: SigningKey | None
    trust: Trust

    def describe(self) -> str:
        """As the inner bucket."""
        return self.inner.describe()

    def list(self, prefix: str) -> list[ObjectInfo]:
        """As the inner bucket; sizes are those of the envelopes."""
        return self.inner.list(prefix)

    def stat(self, name: str) -> ObjectInfo:
        """As the inner bucket."""
        return self.inner.stat(name)

    def read(self, name: str, *, limit: int) -> bytes:
        """The document in its envelope.

        Raises
        ------
        ManifestRejectedError
            Nobody trusted has signed it.
        """
        kind = _kind_of(name)
        if kind is None:
            return self.inner.read(name, limit=limit)
        data = self.inner.read(name, limit=limit * _ESCAPED + _ENVELOPE_ROOM)
        return open_envelope(data, kind, self.trust)[: limit + 1]

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """As the inner bucket, signed where it is a job or a result."""
        kind = _kind_of(name)
        if kind is not None and self.key is not None:
            data = seal(data, kind, self.key)
        return self.inner.create(name, data)

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        """As the inner bucket; nothing that is signed is ever written over."""
        return self.inner.replace(name, data)

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        """As the inner bucket."""
        return self.inner.move(source, destination, generation=generation)

    def delete(self, name: str, *, generation: int) -> None:
        """As the inner bucket."""
        self.inner.delete(name, generation=generation)

    def beacon(self, name: str) -> ObjectInfo:
        """As the inner bucket."""
        return self.inner.beacon(name)

    def light(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """As the inner bucket."""
        return self.inner.light(name, metadata, generation=generation)

    def beat(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """As the inner bucket."""
        return self.inner.beat(name, metadata, generation=generation)


def _kind_of(name: str) -> Kind | None:
    for prefix, kind in _KINDS.items():
        if name.startswith(prefix):
            return kind
    return None
