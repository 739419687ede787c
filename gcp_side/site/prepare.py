"""What a new version of the site needs before it serves: ``python -m gcp_side.site.prepare``.

Waits for the database, makes its tables as this version has them, and collects the static files.
Several may run at once, as replicas do: one after the other does its work, those behind find it
done. Django's own ``migrate`` has no lock, and the second one fails in the middle.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from filelock import FileLock

WAITING_S = 60.0
"""For a database that starts at the same time."""

PAUSE_S = 0.5

EXIT_REFUSED = 1
EXIT_TRY_AGAIN = 75
EXIT_CONFIGURATION = 78

LOCK = 0x5E6_4E1A7
"""Of PostgreSQL's advisory locks, the one of this program."""


def main() -> int:
    """Do it; what hinders it is one line on standard error and an exit code."""
    # What is collected can be replaced by another user id of the same group.
    os.umask(0o002)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gcp_side.site.settings")
    try:
        django.setup()
        wait_for_database(WAITING_S)
        with one_at_a_time():
            _make_tables_and_files()
    except OperationalError as error:
        reason = str(error).partition("\n")[0].strip()
        return _refuse(
            f"The database does not answer ({reason}). Start it or correct SEGRELAY_DATABASE, "
            "then try again.",
            EXIT_TRY_AGAIN,
        )
    except ImproperlyConfigured as error:
        return _refuse(str(error), EXIT_CONFIGURATION)
    except CommandError as error:
        return _refuse(str(error), EXIT_REFUSED)
    return 0


def _make_tables_and_files() -> None:
    call_command("migrate", interactive=False, skip_checks=False)
    if settings.STATIC_ROOT:
        call_command("collectstatic", interactive=False)


def _refuse(reason: str, code: int) -> int:
    sys.stderr.write(f"{reason}\n")
    return code


def wait_for_database(limit_s: float) -> None:
    """Return once a connection can be made; a file of SQLite is there or not.

    Raises
    ------
    django.db.OperationalError
        None could be made within ``limit_s`` seconds.
    """
    end = time.monotonic() + limit_s
    while True:
        try:
            connection.ensure_connection()
        except OperationalError:
            if connection.vendor == "sqlite" or time.monotonic() >= end:
                raise
            time.sleep(PAUSE_S)
        else:
            return


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold this program's lock: PostgreSQL's own, or a file beside the one of SQLite."""
    if connection.vendor != "postgresql":
        with FileLock(f"{connection.settings_dict['NAME']}.prepare"):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


if __name__ == "__main__":
    raise SystemExit(main())
