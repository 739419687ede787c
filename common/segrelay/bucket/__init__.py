"""The bucket protocol: the few operations that the queue needs from a store.

Objects are immutable, named byte strings with a *generation* that says which write made
them. The one exception is a *heartbeat object*: an object without content whose text
metadata is rewritten in place while its generation stays.

Every operation is atomic and conditional, and may raise
:class:`~segrelay.errors.StoreUnavailableError`; after that error the operation may or may not
have happened. Where the store answers and only refuses the one object, that error is an
:class:`~segrelay.errors.ObjectRefusedError`. Names are relative to the queue's root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Protocol, runtime_checkable

from segrelay.bucket.address import (
    DATABASE,
    CloudAddress,
    RedisAddress,
    SiteAddress,
    parse_address,
)
from segrelay.errors import FixConfigurationError
from segrelay.retry import STORE_REQUEST
from segrelay.transient import PATIENCE

__all__ = [
    "Bucket",
    "CheckedServer",
    "JoinedOperations",
    "MovedObject",
    "ObjectInfo",
    "ServerRemark",
    "directory_at",
    "open_bucket",
    "require_redis",
]


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """Metadata of one object."""

    name: str
    generation: int
    """Changes with every write of the content, and never otherwise while the name lasts."""
    updated: datetime
    """The store's clock at the last write, or of a heartbeat, UTC."""
    size: int
    """Bytes of content."""
    metadata: Mapping[str, str] | None = None
    """Text metadata of a heartbeat object, empty of anything else; None where it was not read: ask
    ``read_heartbeat``."""
    problem: str = ""
    """Why this entry of a listing cannot be used as an object; empty for every other one."""
    renamed: datetime | None = None
    """The store's clock when the object got this name, where that is not ``updated``: a rename
    within a directory keeps the time of the file's content."""

    @property
    def since(self) -> datetime:
        """The store's clock when the object appeared under this name, or was last written."""
        return self.updated if self.renamed is None else max(self.updated, self.renamed)


class Bucket(Protocol):
    """A store with honest preconditions."""

    def describe(self) -> str:
        """The store's address, for logs: no credentials."""
        ...

    def list(self, prefix: str) -> list[ObjectInfo]:
        """Every object whose name starts with ``prefix``, sorted by name.

        An entry that cannot be used (a link to nothing, a folder that may not be read) comes
        with its ``problem`` and stops nothing.
        """
        ...

    def stat(self, name: str) -> ObjectInfo:
        """One object, for its generation; raises ObjectNotFoundError."""
        ...

    def read(self, name: str, *, limit: int) -> bytes:
        """The first ``limit + 1`` bytes at most; raises ObjectNotFoundError.

        They are the store's: what something before it has answered in its place raises
        StoreUnavailableError.
        """
        ...

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """Write a new object; raises ObjectExistsError and then changes nothing."""
        ...

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        """Write an object whether or not it exists: only for what may be lost (progress)."""
        ...

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        """Rename atomically, never onto an existing object.

        Raises ObjectNotFoundError (no source), ObjectExistsError (destination is there) or
        PreconditionFailedError (the source is another generation).
        """
        ...

    def delete(self, name: str, *, generation: int) -> None:
        """Delete one generation; raises ObjectNotFoundError or PreconditionFailedError."""
        ...

    def read_heartbeat(self, name: str) -> ObjectInfo:
        """The metadata and generation of a heartbeat object; raises ObjectNotFoundError."""
        ...

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """Take a heartbeat object over: write it again, with a new generation.

        ``generation`` is the one to replace, 0 for none; raises PreconditionFailedError.
        """
        ...

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """Rewrite a heartbeat object's metadata in place; its generation stays.

        Raises ObjectNotFoundError or PreconditionFailedError.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class MovedObject:
    """An object that was moved, read at the same moment."""

    data: bytes
    """Its first bytes, as ``read`` gives them."""
    has_other: bool
    """Whether the other object existed."""


@runtime_checkable
class JoinedOperations(Protocol):
    """What a store may offer beside :class:`Bucket`: several operations of one step in one request.

    Each request is a wait, and each write of its own a flush of the store's disk. The queue does
    the same by the single operations, so each of these does everything or, where anything is not as
    in the usual course of a job, changes nothing and leaves the job to them. One whose answer was
    lost is answered when it is repeated; errors are the protocol's.
    """

    def create_unless(self, name: str, data: bytes, *, other: str) -> ObjectInfo | None:
        """Create an object; None, and nothing is changed, if it or ``other`` exists."""
        ...

    def move_and_read(
        self, source: str, destination: str, *, generation: int, limit: int, other: str
    ) -> MovedObject | None:
        """Move one generation of an object, and read ``limit + 1`` bytes of it at most.

        None, and nothing is changed, if it is not there or another generation, has no content, or
        the destination exists.
        """
        ...

    def create_and_move(
        self, name: str, data: bytes, *, source: str, destination: str, other: str
    ) -> bool:
        """Create an object and move another one, of any generation.

        False, and nothing is changed, if there is no source, or ``name``, the destination or
        ``other`` exists.
        """
        ...


@dataclass(frozen=True)
class ServerRemark:
    """What an operator should know about a store that can be used."""

    text: str
    remedy: str


@runtime_checkable
class CheckedServer(Protocol):
    """A store whose server may be set up in a way that loses objects."""

    def check_server(self) -> Sequence[ServerRemark]:
        """Check the server's settings.

        Raises
        ------
        FixConfigurationError
            It is not safe for a queue.
        StoreUnavailableError
            It did not answer; nothing is known.
        """
        ...


def open_bucket(
    address: str,
    *,
    patience: timedelta = PATIENCE,
    token: Callable[[], str] = str,
    password: Callable[[], str] = str,
    ca_file: Path | None = None,
    deadline: float = STORE_REQUEST.deadline,
) -> Bucket:
    """Return the bucket at an address (:mod:`segrelay.bucket.address`), rooted there.

    Parameters
    ----------
    patience:
        How long refusals of a server that has answered before are transient.
    token:
        Reads this agent's token for a queue that the site keeps; empty where there is none.
    password:
        Reads the password of a Redis; empty where there is none.
    ca_file:
        Certificates to trust for a site or a Redis instead of the public authorities, PEM.
    deadline:
        Seconds for all tries of one operation at a site or a Redis.

    Raises
    ------
    FixConfigurationError
        The address is not one that this version can use, or nobody is signed in to it.
    """
    where = parse_address(address)
    # Imported where they are needed: a directory as queue needs nothing of Google's.
    if isinstance(where, CloudAddress):
        from segrelay.bucket.gcs import open_gcs_bucket

        return open_gcs_bucket(where.bucket, where.prefix, patience=patience)
    if isinstance(where, SiteAddress):
        from segrelay.bucket.site import open_site_bucket

        return open_site_bucket(
            where.url, token, patience=patience, ca_file=ca_file, deadline=deadline
        )
    if isinstance(where, RedisAddress):
        require_redis()
        from segrelay.bucket.redis import open_redis_bucket

        return open_redis_bucket(
            where, password, patience=patience, ca_file=ca_file, deadline=deadline
        )
    if isinstance(where, PurePath):
        from segrelay.bucket.local import LocalBucket

        return LocalBucket(Path(where))
    raise FixConfigurationError(
        f"{DATABASE} is the site's own database, which only the site can open.",
        code="bucket-address",
        remedy="Give the address at which the site offers its queue: https://…/queue.",
    )


def require_redis() -> None:
    """Check that a Redis can be spoken to.

    Raises
    ------
    FixConfigurationError
        ``redis-missing``: the extra is not installed.
    """
    if find_spec("redis") is None:
        raise FixConfigurationError(
            "The queue is in a Redis, and the package redis is not installed.",
            code="redis-missing",
            remedy="Install the extra redis in SegRelay's folder: pip install '.[lab,redis]', at "
            "the site '.[gcp,redis]'.",
        )


def directory_at(address: str) -> Path | None:
    """Return where a queue that is a directory lies; None for another one, and for no address."""
    try:
        where = parse_address(address)
    except FixConfigurationError:
        return None
    return Path(where) if isinstance(where, PurePath) else None
