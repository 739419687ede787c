"""System checks: a wrong setting is named before the first request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import router
from django.urls import NoReverseMatch

from gcp_side.labseg.conf import Conf, problems
from gcp_side.labseg.host.addresses import page_address

GUARD = "gcp_side.labseg.access.brute_force.GuessGuard"
GUARD_MIDDLEWARE = "gcp_side.labseg.access.brute_force.GuessGuardMiddleware"


@register()
def check_settings(**_: Any) -> list[CheckMessage]:
    """labseg.E001: a value of ``SEGRELAY`` is missing or wrong."""
    return [
        Error(
            f"SEGRELAY[{item.key!r}]: {item.message}"
            if item.key != "SEGRELAY"
            else f"The setting SEGRELAY {item.message}",
            hint=item.remedy,
            id="labseg.E001",
        )
        for item in problems()
    ]


@register()
def check_sqlite(**_: Any) -> list[CheckMessage]:
    """labseg.W002: two processes that write at once get "database is locked"."""
    alias = router.db_for_write(apps.get_model("labseg", "Job"))
    database: dict[str, Any] = settings.DATABASES[alias]
    mode = database.get("OPTIONS", {}).get("transaction_mode", "")
    if not database["ENGINE"].endswith("sqlite3") or mode.upper() == "IMMEDIATE":
        return []
    return [
        Warning(
            f"The database {alias!r} is SQLite with deferred transactions: writes at the same "
            'time fail with "database is locked".',
            hint=f'Set DATABASES[{alias!r}]["OPTIONS"]["transaction_mode"] = "IMMEDIATE" '
            'and "timeout" to 20.',
            id="labseg.W002",
        )
    ]


@register(Tags.urls)
def check_login_page(**_: Any) -> list[CheckMessage]:
    """labseg.W004: ``LOGIN_URL`` leads nowhere; the app's pages then have their own login page."""
    from gcp_side.labseg.access.accounts import LOGIN, project_login

    try:
        page_address("login")
    except NoReverseMatch:
        # Without the pages nobody is led to a login.
        return []
    if project_login() is not None:
        return []
    return [
        Warning(
            f"LOGIN_URL ({settings.LOGIN_URL}) leads to no page of this project: whoever is not "
            "logged in gets 404, but for the app's pages, which then use their own login page.",
            hint=f'Set LOGIN_URL = "{LOGIN}" for that page, or to a login page of your project, or '
            "to the whole address (https://…) of one that another server has.",
            id="labseg.W004",
        )
    ]


@register()
def check_sync(**_: Any) -> list[CheckMessage]:
    """labseg.W005: there are jobs and nothing runs ``labseg sync``.

    Silent while there is no job yet, or no database to ask.
    """
    from gcp_side.labseg.jobs.freshness import as_sentence, is_kept_fresh, last_pass

    if not _may_ask_database():
        return []
    try:
        last = last_pass()
        has_jobs = apps.get_model("labseg", "Job").objects.exists()
    except Exception:
        # No tables, no server, no driver, or code that may not ask: none is this check's matter.
        return []
    if is_kept_fresh(last) or not has_jobs:
        return []
    return [
        Warning(
            f"{as_sentence(last)} Jobs end without the signal job_finished until somebody opens "
            "their page, and jobs of dead agents stay where they are.",
            hint="Run `manage.py labseg sync --watch` as a process of its own beside the site, or "
            "`manage.py labseg sync` every minute.",
            id="labseg.W005",
        )
    ]


def _may_ask_database() -> bool:
    """Whether asking makes no file: SQLite would make an empty one."""
    alias = router.db_for_read(apps.get_model("labseg", "SyncPass"))
    database: dict[str, Any] = settings.DATABASES[alias]
    return not database["ENGINE"].endswith("sqlite3") or Path(database["NAME"]).is_file()


@register(Tags.security)
def check_login_guard(**_: Any) -> list[CheckMessage]:
    """labseg.W003: the guard of the login pages is only half in place."""
    backends = list(settings.AUTHENTICATION_BACKENDS)
    if GUARD not in backends:
        return []
    if backends[0] == GUARD and GUARD_MIDDLEWARE in settings.MIDDLEWARE:
        return []
    return [
        Warning(
            "Login pages are not guarded as they should be against guessed passwords.",
            hint=f"Put {GUARD} first in AUTHENTICATION_BACKENDS, and {GUARD_MIDDLEWARE} into "
            "MIDDLEWARE.",
            id="labseg.W003",
        )
    ]


@register(Tags.security, deploy=True)
def check_orthanc(**_: Any) -> list[CheckMessage]:
    """labseg.W001: images are open to every caller that reaches Orthanc.

    labseg.W009: password and images can be read on the way to Orthanc.
    """
    if problems():
        return []
    conf = Conf.model_validate(settings.SEGRELAY)
    found: list[CheckMessage] = []
    if not (conf.orthanc_user or conf.orthanc_token or conf.orthanc_client_cert):
        found.append(
            Warning(
                "Orthanc is used without a user and password.",
                hint="Set ORTHANC_USER and ORTHANC_PASSWORD, and AuthenticationEnabled in Orthanc.",
                id="labseg.W001",
            )
        )
    if conf.orthanc.is_exposed:
        found.append(
            Warning(
                "Orthanc on another machine is used over plain http.",
                hint="Use https, or make sure that a VPN protects the way.",
                id="labseg.W009",
            )
        )
    return found
