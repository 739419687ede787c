"""The database of the project, from one variable."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

SQLITE_OPTIONS = {
    # The defaults answer "database is locked" as soon as two processes write.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}

CONNECTION_SECONDS = 60
"""Seconds that a connection to PostgreSQL is used again."""


def database(address: str) -> dict[str, Any]:
    """An entry of ``DATABASES``: a path is SQLite, ``postgresql://…`` is PostgreSQL.

    ``postgresql://user:password@host:port/name``; the folder of a socket is given as
    ``postgresql://user@/name?host=/run/postgresql``. What is left out is libpq's to find.

    Raises
    ------
    ImproperlyConfigured
        An address names no database, or another kind.
    """
    if "://" not in address:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": address,
            "OPTIONS": dict(SQLITE_OPTIONS),
        }
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise _wrong() from None
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise _wrong()
    host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(port or ""),
        "CONN_MAX_AGE": CONNECTION_SECONDS,
        "CONN_HEALTH_CHECKS": True,
    }


def _wrong() -> ImproperlyConfigured:
    # Without the address: it may hold a password.
    return ImproperlyConfigured(
        "SEGRELAY_DATABASE is neither a path nor postgresql://user:password@host:port/name. "
        "Correct it."
    )
