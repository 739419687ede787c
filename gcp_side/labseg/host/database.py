"""Rows and columns that are right in every project: with replicas, several databases, any clock.

=================  ================================================================
``FreshManager``   reads where this app writes: a replica may be behind
``UtcTimeField``   a moment, also where the project has ``USE_TZ = False``
``NameField``      a text whose order is that of its code points, in every database
``UserReference``  a user, who may be in another database than the row
=================  ================================================================
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db import models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor
from django.utils.timezone import get_default_timezone, is_naive, make_aware

Row = TypeVar("Row", bound=models.Model)

if TYPE_CHECKING:
    # Only the type stubs know these classes as generic.
    Descriptor = ForwardManyToOneDescriptor[Any]
else:
    Descriptor = ForwardManyToOneDescriptor


def now() -> datetime:
    """This site's clock, with its zone whatever ``USE_TZ`` says."""
    return datetime.now(UTC)


class FreshManager(models.Manager[Row]):
    """The rows as this app wrote them last.

    Every state change is a comparison with what was read before, so a read from a replica that
    is behind would lose changes. A database that was named with ``using()`` is used.
    """

    def get_queryset(self) -> models.QuerySet[Row]:
        """All rows, in the database that this model is written to."""
        rows = super().get_queryset()
        if self._db is not None:
            return rows
        hints: dict[str, Any] = self._hints  # type: ignore[attr-defined]
        return rows.using(router.db_for_write(self.model, **hints))


class UtcTimeField(models.DateTimeField):  # type: ignore[type-arg]
    """A moment: always with its zone in Python, and in the column as ``USE_TZ = True`` stores it.

    With ``USE_TZ = False`` Django knows only local times without a zone, which are ambiguous for
    an hour of each year, and which no manifest may hold.
    """

    def deconstruct(self) -> Any:
        """Describe Django's field to migrations: the column is the same."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        """With a zone: a time without one, e.g. of the admin's filters, is a local time."""
        found = self.to_python(value)
        if isinstance(found, datetime) and is_naive(found):
            return make_aware(found, get_default_timezone())
        return found

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        """For the column."""
        found = value if prepared else self.get_prep_value(value)
        if isinstance(found, datetime) and not settings.USE_TZ:
            if connection.vendor == "postgresql":
                # The only one that takes a zone while Django uses none.
                return found
            found = found.astimezone(UTC).replace(tzinfo=None)
        return connection.ops.adapt_datetimefield_value(found)

    def from_db_value(
        self, value: datetime | None, _expression: object, connection: BaseDatabaseWrapper
    ) -> datetime | None:
        """From the column."""
        if value is None or not is_naive(value):
            return value
        # The connection's own zone is the project's, on PostgreSQL.
        if connection.vendor == "postgresql":
            return make_aware(value, get_default_timezone())
        return value.replace(tzinfo=UTC)


_COLLATIONS = {"postgresql": "C", "mysql": "utf8mb4_bin"}
"""By the kind of database, where its own order of texts is not that of their code points."""


class NameField(models.CharField):  # type: ignore[type-arg]
    """A text that is compared by its code points, so that a prefix is a range of names."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Describe the column, with its collation."""
        parameters = super().db_parameters(connection)
        return {**parameters, "collation": _COLLATIONS.get(connection.vendor)}


class _InTheirOwnDatabase(Descriptor):
    """Looks the row up where its own model is, not where the row is that names it."""

    def get_queryset(self, **_hints: Any) -> models.QuerySet[Any]:
        model = self.field.remote_field.model
        users: models.QuerySet[Any] = model._base_manager.using(router.db_for_read(model))
        return users


class UserReference(models.ForeignKey[Any, Any]):
    """A user, or nobody; a project may keep its users in another database.

    The database holds no constraint, and deleting a user does not look for rows that are
    elsewhere: :mod:`gcp_side.labseg.access.users` clears the column when Django reports it.
    """

    forward_related_accessor_class = _InTheirOwnDatabase

    def __init__(self, **options: Any) -> None:
        fixed = {"null": True, "blank": True, "on_delete": models.DO_NOTHING}
        super().__init__(**options | fixed | {"db_constraint": False, "related_name": "+"})

    def deconstruct(self) -> Any:
        """Describe Django's field to migrations: the column is the same."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.ForeignKey", args, kwargs
