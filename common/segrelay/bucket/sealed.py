"""A bucket that signs what it writes and checks who signed what it reads.

Jobs are signed by the site, results by agents (a cancellation by the site). Attempt records,
progress, reasons of rejections and heartbeats are signed by their writer, together with
their object's name. Where keys are configured, what nobody trusted has signed counts for nothing:
an attempt is not counted and not quoted, a heartbeat proves no life. Who can write to the bucket
can still move and delete objects, and so delay a job or hide it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from segrelay import names
from segrelay.bucket import Bucket, CheckedServer, ObjectInfo, ServerRemark
from segrelay.signed_heartbeats import NEVER, StoreClock, sign_heartbeat, time_of_heartbeat
from segrelay.signing import RECORDS, Kind, SigningKey, Trust, open_envelope, seal

UNTRUSTED = "its heartbeat is not signed with a key that is trusted here"
"""What a listing says of such a heartbeat."""

_KINDS = {
    names.PENDING: Kind.JOB,
    names.CLAIMED: Kind.JOB,
    names.DONE: Kind.JOB,
    names.FAILED: Kind.JOB,
    names.RESULTS: Kind.RESULT,
    names.ATTEMPTS: Kind.ATTEMPT,
    names.PROGRESS: Kind.PROGRESS,
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
        Signs what is written here; None writes it unsigned.
    trust:
        Whose documents are believed.
    """

    inner: Bucket
    key: SigningKey | None
    trust: Trust
    _clock: StoreClock = field(default_factory=StoreClock, repr=False, compare=False)

    def describe(self) -> str:
        """Call the inner bucket."""
        return self.inner.describe()

    def list(self, prefix: str) -> list[ObjectInfo]:
        """Call the inner bucket; sizes are those of the envelopes."""
        return [self._judged(info) for info in self.inner.list(prefix)]

    def stat(self, name: str) -> ObjectInfo:
        """Call the inner bucket."""
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
        return open_envelope(data, kind, self.trust, name=_bound(kind, name))[: limit + 1]

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """Call the inner bucket, signed where it is of a kind that is."""
        info = self.inner.create(name, self._sealed(name, data))
        self._clock.note(info.updated)
        return info

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        """Call the inner bucket, signed where it is of a kind that is."""
        info = self.inner.replace(name, self._sealed(name, data))
        self._clock.note(info.updated)
        return info

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        """Call the inner bucket."""
        return self.inner.move(source, destination, generation=generation)

    def delete(self, name: str, *, generation: int) -> None:
        """Call the inner bucket."""
        self.inner.delete(name, generation=generation)

    def read_heartbeat(self, name: str) -> ObjectInfo:
        """Call the inner bucket.

        A heartbeat that nobody trusted has signed comes without its metadata, and one that was
        put back is as old as it says itself.
        """
        return self._judged(self.inner.read_heartbeat(name))

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """Call the inner bucket; a heartbeat is signed, in a second write if it is the first."""
        now = self._clock.now()
        signed = self._signed_heartbeat(name, metadata, NEVER if now is None else now)
        info = self.inner.take_over(name, signed, generation=generation)
        self._clock.note(info.updated)
        if now is None and signed is not metadata:
            return self.refresh(name, metadata, generation=info.generation)
        return info

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """Call the inner bucket; a heartbeat is signed."""
        signed = self._signed_heartbeat(name, metadata, self._clock.now() or NEVER)
        info = self.inner.refresh(name, signed, generation=generation)
        self._clock.note(info.updated)
        return info

    def signed_heartbeat(self, name: str, metadata: Mapping[str, str]) -> Mapping[str, str]:
        """Sign a heartbeat that travels in another way than :meth:`refresh`."""
        return self._signed_heartbeat(name, metadata, self._clock.now() or NEVER)

    def note_time(self, now: datetime) -> None:
        """Note the store's time, as such another way has brought it."""
        self._clock.note(now)

    def check_server(self) -> Sequence[ServerRemark]:
        """Call the inner bucket, if its server has settings to check."""
        return self.inner.check_server() if isinstance(self.inner, CheckedServer) else []

    def _sealed(self, name: str, data: bytes) -> bytes:
        kind = _kind_of(name)
        if kind is None or self.key is None:
            return data
        return seal(data, kind, self.key, name=_bound(kind, name))

    def _signed_heartbeat(
        self, name: str, metadata: Mapping[str, str], at: datetime
    ) -> Mapping[str, str]:
        if self.key is None or not name.startswith(names.AGENTS):
            return metadata
        return sign_heartbeat(metadata, name, self.key, at)

    def _judged(self, info: ObjectInfo) -> ObjectInfo:
        """A heartbeat as it may be believed; everything else as it is."""
        is_heartbeat = info.name.startswith(names.AGENTS) and info.metadata
        if not is_heartbeat or info.metadata is None or not self.trust.of_kind(Kind.HEARTBEAT):
            return info
        latest = time_of_heartbeat(info.metadata, info.name, self.trust)
        if latest is None:
            return replace(info, metadata={}, problem=UNTRUSTED)
        return replace(info, updated=min(info.updated, latest))


def demands_signatures(bucket: Bucket, kind: Kind) -> bool:
    """Return whether documents of a kind count only with a trusted signature."""
    return isinstance(bucket, SealedBucket) and bool(bucket.trust.of_kind(kind))


def _bound(kind: Kind, name: str) -> str:
    """The name that a document is signed with: jobs move, and there is one result of a job."""
    return name if kind in RECORDS else ""


def _kind_of(name: str) -> Kind | None:
    if name.startswith(names.REJECTED) and name.endswith(names.reason_object("")):
        return Kind.REASON
    for prefix, kind in _KINDS.items():
        if name.startswith(prefix):
            return kind
    return None


def unsealed(bucket: Bucket) -> Bucket:
    """Return the store itself, without the signatures around it."""
    return bucket.inner if isinstance(bucket, SealedBucket) else bucket
