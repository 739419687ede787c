"""How fresh the jobs' rows are: when the queue was last read for all that are open.

A page reads the jobs that it shows. Everything else (the signal ``job_finished``, jobs of dead
agents, lists that nobody opens) waits for ``labseg sync``, which therefore has to run somewhere.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.utils.translation import gettext

from gcp_side.labseg.host.database import now
from gcp_side.labseg.models import SyncPass

SILENT_AFTER = timedelta(minutes=5)
"""Without a pass for longer than this, nothing runs ``labseg sync``: a job of cron's that runs it
every minute may fail a few times."""

_ROW = 1


def note_pass() -> None:
    """The queue was read for all open jobs, just now."""
    at = now()
    if not SyncPass.objects.filter(pk=_ROW).update(passed_at=at):
        # Two first passes at once write one row.
        SyncPass.objects.bulk_create([SyncPass(pk=_ROW, passed_at=at)], ignore_conflicts=True)


def last_pass() -> datetime | None:
    """When that was, by this site's clock; None if it never was.

    Raises
    ------
    django.db.DatabaseError
        The database does not answer, or has no tables yet.
    """
    return SyncPass.objects.filter(pk=_ROW).values_list("passed_at", flat=True).first()


def is_kept_fresh(last: datetime | None) -> bool:
    """Whether something runs ``labseg sync``, by the time of its last pass."""
    return last is not None and abs(now() - last) <= SILENT_AFTER


def as_sentence(last: datetime | None) -> str:
    """Since when nothing runs it, in the active language."""
    if last is None:
        return gettext("Nothing has ever run `labseg sync` here.")
    time = {"time": f"{last.astimezone(UTC):%Y-%m-%d %H:%M}"}
    if last > now():
        # As fresh as it looks: a clock that was set back would hide for hours that nothing runs.
        return (
            gettext(
                "The last pass of `labseg sync` is dated %(time)s UTC, in the future: a clock was "
                "changed."
            )
            % time
        )
    return gettext("Nothing has run `labseg sync` since %(time)s UTC.") % time
