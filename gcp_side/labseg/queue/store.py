"""The bucket protocol over the site's own database: SQLite or PostgreSQL, or another of Django's.

Every operation is one transaction whose first statement holds its preconditions: an INSERT that
the unique name refuses, or an UPDATE or DELETE of one name and generation. So two processes never
both succeed, whatever the isolation level. The clock is the database's.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connections,
    router,
    transaction,
)
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from gcp_side.labseg.queue.pruning import prune
from gcp_side.labseg.queue.rows import QueueChange, QueueObject
from segrelay import names
from segrelay.bucket import ObjectInfo
from segrelay.bucket.address import DATABASE
from segrelay.bucket.lifetimes import PRUNE_EVERY
from segrelay.errors import (
    FixConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnavailableError,
)

_FIRST_SURROGATE, _AFTER_SURROGATES = 0xD800, 0xE000
"""Code points that no text in UTF-8 has."""

_CHANGES = QueueChange._meta.db_table
_CHANGE = "SELECT number FROM {table} WHERE id = 1"
"""The one row, as :func:`_note_arrival` writes it."""

_COLUMNS = ("name", "generation", "updated", "size", "metadata")


class DatabaseBucket:
    """The bucket protocol over the tables of :mod:`gcp_side.labseg.queue.rows`; thread-safe."""

    content_is_proven = True
    """A row is read whole, or not at all."""

    def __init__(self) -> None:
        self._pruned_at = -PRUNE_EVERY

    def describe(self) -> str:
        """Return ``database:``."""
        return DATABASE

    def list(self, prefix: str) -> list[ObjectInfo]:
        """See the protocol; brings the metadata of heartbeat objects along."""
        self._prune_if_due()
        with _database_errors():
            rows = below(prefix).order_by("name").values(*_COLUMNS)
            return [_info(row) for row in rows]

    def stat(self, name: str) -> ObjectInfo:
        """See the protocol."""
        with _database_errors():
            return _require(name)

    def read_heartbeat(self, name: str) -> ObjectInfo:
        """See the protocol."""
        with _database_errors():
            row = QueueObject.objects.filter(name=name, metadata__isnull=False)
            found = row.values(*_COLUMNS).first() if names.can_be_stored(name) else None
        if found is None:
            raise ObjectNotFoundError(f"There is no heartbeat object {name}.")
        return _info(found)

    def read(self, name: str, *, limit: int) -> bytes:
        """See the protocol."""
        with _database_errors():
            found = QueueObject.objects.filter(name=name) if names.can_be_stored(name) else None
            content = None if found is None else found.values_list("content", flat=True).first()
        if content is None:
            raise _absent(name)
        return bytes(content)[: limit + 1]

    def create(self, name: str, data: bytes, *, nonce: str = "") -> ObjectInfo:
        """See the protocol; a call with the nonce of the write that made the object succeeds."""
        _check_name(name)
        return self._insert(name, data, None, nonce) or self._own_write(name, nonce)

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        """See the protocol."""
        _check_name(name)
        while True:
            changed = self._update(
                {"name": name},
                arrived=name,
                generation=_new_generation(),
                content=data,
                size=len(data),
                metadata=None,
                nonce="",
            )
            info = changed or self._insert(name, data, None, "")
            if info is not None:
                return info

    def move(
        self, source: str, destination: str, *, generation: int, nonce: str = ""
    ) -> ObjectInfo:
        """See the protocol; a call with the nonce of the move that was made succeeds."""
        _check_name(destination)
        try:
            moved = self._update(
                {"name": source, "generation": generation},
                arrived=destination,
                name=destination,
                nonce=nonce,
            )
        except IntegrityError:
            moved = None
        if moved is not None:
            return moved
        with _database_errors():
            there = QueueObject.objects.filter(name=destination).values(*_COLUMNS, "nonce").first()
            if there is not None and nonce and there["nonce"] == nonce:
                return _info(there)
            self._check_generation(source, generation)
        raise ObjectExistsError(f"The object {destination} exists already.")

    def delete(self, name: str, *, generation: int) -> None:
        """See the protocol."""
        with _database_errors():
            rows = QueueObject.objects.filter(name=name, generation=generation)
            if not rows.delete()[0]:
                self._check_generation(name, generation)
                # It was written again in between, with another generation than was seen.
                raise PreconditionFailedError(f"The object {name} is another generation.")

    def take_over(
        self, name: str, metadata: Mapping[str, str], *, generation: int, nonce: str = ""
    ) -> ObjectInfo:
        """See the protocol; a call with the nonce of the last take-over succeeds."""
        _check_name(name)
        text = json.dumps(dict(metadata))
        if generation == 0:
            taken = self._insert(name, b"", text, nonce)
        else:
            taken = self._update(
                {"name": name, "generation": generation},
                generation=_new_generation(),
                content=b"",
                size=0,
                metadata=text,
                nonce=nonce,
            )
        if taken is not None:
            return taken
        try:
            return self._own_write(name, nonce)
        except (ObjectExistsError, ObjectNotFoundError):
            raise PreconditionFailedError(
                f"The heartbeat object {name} is another generation."
            ) from None

    def renew_unless_newer(
        self, name: str, metadata: Mapping[str, str], *, generation: int, updated: datetime
    ) -> ObjectInfo | None:
        """Refresh a heartbeat that was not written since ``updated``; None where there is none."""
        return self._update(
            {
                "name": name,
                "generation": generation,
                "metadata__isnull": False,
                # Not its equal: SQLite compares texts, and a time in milliseconds has fewer digits.
                "updated__lte": updated,
            },
            metadata=json.dumps(dict(metadata)),
        )

    def refresh(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        """See the protocol."""
        refreshed = self._update(
            {"name": name, "generation": generation, "metadata__isnull": False},
            metadata=json.dumps(dict(metadata)),
        )
        if refreshed is None:
            self.read_heartbeat(name)
            raise PreconditionFailedError(f"The heartbeat object {name} is another generation.")
        return refreshed

    def change(self) -> str:
        """Return what differs whenever something may have become pending since the last call."""
        connection = connections[router.db_for_write(QueueChange)]
        with _database_errors(), connection.cursor() as cursor:
            # Asked ten times a second for each process: a query set would cost three times as much.
            cursor.execute(_CHANGE.format(table=connection.ops.quote_name(_CHANGES)))
            row = cursor.fetchone()
        return str(row[0] if row else 0)

    def _insert(
        self, name: str, data: bytes, metadata: str | None, nonce: str
    ) -> ObjectInfo | None:
        """Write a new object; None where there is one of this name."""
        try:
            with _database_errors(), _one_transaction():
                QueueObject.objects.create(
                    name=name,
                    generation=_new_generation(),
                    updated=Now(),
                    size=len(data),
                    content=data,
                    metadata=metadata,
                    nonce=nonce,
                )
                _note_arrival(name)
                return _require(name)
        except IntegrityError:
            return None

    def _update(
        self, condition: Mapping[str, Any], *, arrived: str = "", **columns: Any
    ) -> ObjectInfo | None:
        """Change the one object of a condition; None where there is none.

        Raises
        ------
        IntegrityError
            Its new name is another object's.
        """
        with _database_errors(), _one_transaction():
            rows = QueueObject.objects.filter(**condition)
            if not rows.update(**columns, updated=Now()):
                return None
            _note_arrival(arrived)
            return _require(columns.get("name", condition["name"]))

    def _own_write(self, name: str, nonce: str) -> ObjectInfo:
        """Return the object if the call with this nonce wrote it.

        Raises
        ------
        ObjectExistsError, ObjectNotFoundError
            Another one did, or it is gone.
        """
        with _database_errors():
            row = QueueObject.objects.filter(name=name).values(*_COLUMNS, "nonce").first()
        if row is None:
            raise _absent(name)
        if not nonce or row["nonce"] != nonce:
            raise ObjectExistsError(f"The object {name} exists already.")
        return _info(row)

    def _check_generation(self, name: str, generation: int) -> None:
        if _require(name).generation != generation:
            raise PreconditionFailedError(f"The object {name} is another generation.")

    def _prune_if_due(self) -> None:
        now = time.monotonic()
        if now - self._pruned_at < PRUNE_EVERY:
            return
        self._pruned_at = now
        with _database_errors():
            prune()


def below(prefix: str) -> QuerySet[QueueObject]:
    """Return the objects whose names start with ``prefix``."""
    if prefix and not (names.can_be_stored(prefix) or names.can_be_stored(f"{prefix}x")):
        # No name begins so, and not every database can be asked for it.
        return QueueObject.objects.none()
    rows = QueueObject.objects.filter(name__gte=prefix)
    end = _after(prefix)
    return rows.filter(name__lt=end) if end else rows


def _after(prefix: str) -> str:
    """Return the least text, by code points, that is above all with this prefix; empty: none is."""
    for place in reversed(range(len(prefix))):
        following = ord(prefix[place]) + 1
        if following == _FIRST_SURROGATE:
            following = _AFTER_SURROGATES
        if following <= sys.maxunicode:
            return prefix[:place] + chr(following)
    return ""


def _note_arrival(name: str) -> None:
    """Count what has become pending, in the transaction that makes it so."""
    if not name.startswith(names.PENDING):
        return
    if not QueueChange.objects.filter(pk=1).update(number=F("number") + 1):
        QueueChange.objects.get_or_create(pk=1, defaults={"number": 1})


def _require(name: str) -> ObjectInfo:
    row = (
        QueueObject.objects.filter(name=name).values(*_COLUMNS).first()
        if names.can_be_stored(name)
        else None
    )
    if row is None:
        raise _absent(name)
    return _info(row)


def _info(row: Mapping[str, Any]) -> ObjectInfo:
    text = row["metadata"]
    return ObjectInfo(
        name=row["name"],
        generation=row["generation"],
        updated=row["updated"],
        size=row["size"],
        metadata={} if text is None else json.loads(text),
    )


def _absent(name: str) -> ObjectNotFoundError:
    return ObjectNotFoundError(f"There is no object {names.as_shown(name)}.")


def _check_name(name: str) -> None:
    if not names.can_be_stored(name):
        raise ObjectNotFoundError(f"{names.as_shown(name)!r} cannot name an object.")


def _new_generation() -> int:
    """Return a number that no write had before and none will have: 62 random bits, never 0."""
    return secrets.randbits(62) | 1


@contextmanager
def _one_transaction() -> Iterator[None]:
    # Durable: within a caller's transaction, an answer would come before the write is certain.
    with transaction.atomic(using=router.db_for_write(QueueObject), durable=True):
        yield


@contextmanager
def _database_errors() -> Iterator[None]:
    """Turn what the database refuses into the protocol's errors; an IntegrityError stays."""
    try:
        yield
    except IntegrityError:
        raise
    except (DatabaseError, InterfaceError) as error:
        connections[router.db_for_write(QueueObject)].close_if_unusable_or_obsolete()
        _raise_named(error)


def _raise_named(error: Exception) -> NoReturn:
    text = str(error).lower()
    is_missing = isinstance(error, ProgrammingError) or "no such table" in text
    if is_missing:
        raise FixConfigurationError(
            "The tables of the site's queue are missing, or of another version.",
            code="bucket-missing",
            remedy="Run manage.py migrate.",
        ) from error
    if isinstance(error, OperationalError) and ("is full" in text or "no space" in text):
        raise StoreUnavailableError(
            "The disk of the site's database is full.",
            code="store-full",
            remedy="Free space on the disk of the database; it is retried automatically.",
        ) from error
    # The database's own words may hold its address or values.
    raise StoreUnavailableError(
        f"The site's database did not answer ({type(error).__name__})."
    ) from error
