"""The app in somebody's Django project, from the page to the end of a job.

``python -m tests.support.site.host_project FOLDER SETTING…`` makes the project with these settings,
named in :data:`SETTINGS`, does what a radiologist, an agent and an operator do, and prints what
came of it as JSON. A process has one project: Django's settings are read once.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gcp_side.site.database import database as site_database

PIECES = "tests.support.site.host_pieces"
ORIGIN = "testserver"
Project = dict[str, Any]


def plain_project(folder: Path) -> Project:
    """As Django's ``startproject`` makes it, with this app."""
    return {
        "SECRET_KEY": "x" * 50,
        "ALLOWED_HOSTS": ["*"],
        "ROOT_URLCONF": "tests.support.site.host_urls",
        "LOGIN_URL": "hospital:mri-pages:login",
        "USE_TZ": True,
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "INSTALLED_APPS": [
            *(f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes")),
            *(f"django.contrib.{name}" for name in ("sessions", "messages", "staticfiles")),
            "gcp_side.labseg",
        ],
        "MIDDLEWARE": [
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        "DATABASES": {"default": database(folder / "default.sqlite3")},
        "STATIC_URL": "/static/",
        "STATIC_ROOT": str(folder / "static"),
        "SEGRELAY": {
            "BUCKET": (folder / "queue").as_uri(),
            "ORTHANC_URL": "http://127.0.0.1:9",
            "PROFILES": {"demo": ["dce-0", "dce-1", "dce-2", "dce-3"]},
            "REFRESH_SECONDS": 0,
            "READ_RATE": "10000/min",
            "SUBMIT_RATE": "1000/min",
        },
    }


def database(file: Path) -> Project:
    options = {"transaction_mode": "IMMEDIATE", "timeout": 20}
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file), "OPTIONS": options}


def _replica(project: Project, folder: Path) -> None:
    project["DATABASES"]["replica"] = database(folder / "replica.sqlite3")
    project["DATABASE_ROUTERS"] = [f"{PIECES}.Replica"]


def _other_database(project: Project, folder: Path) -> None:
    project["DATABASES"]["lab"] = database(folder / "lab.sqlite3")
    project["DATABASE_ROUTERS"] = [f"{PIECES}.LabDatabase"]


def _other_database_replica(project: Project, folder: Path) -> None:
    _replica(project, folder)
    _other_database(project, folder)
    project["DATABASE_ROUTERS"] = [f"{PIECES}.LabDatabaseWithReplica"]


def _postgresql(project: Project, folder: Path) -> None:
    project["DATABASES"]["default"] = site_database(os.environ["SEGRELAY_TESTS_POSTGRES"])


def _atomic(project: Project, folder: Path) -> None:
    for one in project["DATABASES"].values():
        one["ATOMIC_REQUESTS"] = True


def _hashed_static(project: Project, folder: Path) -> None:
    project["STORAGES"] = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": f"{PIECES}.HashedOnly"},
    }


def _rest_defaults(project: Project, folder: Path) -> None:
    project["INSTALLED_APPS"] += ["rest_framework", "rest_framework.authtoken"]
    project["REST_FRAMEWORK"] = {
        "DEFAULT_RENDERER_CLASSES": [f"{PIECES}.CamelCase"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.TokenAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.ScopedRateThrottle"],
        "DEFAULT_CONTENT_NEGOTIATION_CLASS": f"{PIECES}.deny",
        "DEFAULT_METADATA_CLASS": None,
        "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.URLPathVersioning",
        "ALLOWED_VERSIONS": ["v9"],
        "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
        "PAGE_SIZE": 1,
        "DEFAULT_FILTER_BACKENDS": ["rest_framework.filters.SearchFilter"],
        "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
        "EXCEPTION_HANDLER": f"{PIECES}.other_answer",
        "UNAUTHENTICATED_USER": None,
        "URL_FORMAT_OVERRIDE": "page",
        "FORMAT_SUFFIX_KWARG": "study_id",
        "UNICODE_JSON": False,
        "COMPACT_JSON": False,
        "STRICT_JSON": False,
        "COERCE_DECIMAL_TO_STRING": False,
        "DATETIME_FORMAT": "%d.%m.%y",
        "DEFAULT_THROTTLE_RATES": {"labseg-read": "1/day", "labseg-submit": "1/day"},
    }


def _tokens(project: Project, folder: Path) -> None:
    if "rest_framework.authtoken" not in project["INSTALLED_APPS"]:
        project["INSTALLED_APPS"].append("rest_framework.authtoken")
    project["SEGRELAY"]["AUTHENTICATION_CLASSES"] = [
        "rest_framework.authentication.TokenAuthentication",
        f"{PIECES}.EnvelopedToken",
        "rest_framework.authentication.SessionAuthentication",
    ]


def _mail_users(project: Project, folder: Path) -> None:
    project["INSTALLED_APPS"].insert(0, "tests.support.site.host_users")
    project["AUTH_USER_MODEL"] = "host_users.Staff"


def _no_permissions(project: Project, folder: Path) -> None:
    apps = project["INSTALLED_APPS"]
    project["INSTALLED_APPS"] = ["tests.support.site.host_users"] + [
        name for name in apps if not name.endswith("admin")
    ]
    project["AUTH_USER_MODEL"] = "host_users.Badge"


def _other_engine(project: Project, folder: Path) -> None:
    (folder / "base.html").write_text("<h1>The hospital's own.</h1>")
    # It takes the app's templates for its own.
    found = Path("gcp_side/labseg/templates").resolve()
    jinja = {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "DIRS": [str(folder), str(found)],
        "APP_DIRS": True,
    }
    project["TEMPLATES"].insert(0, jinja)


def _few_processors(project: Project, folder: Path) -> None:
    del project["TEMPLATES"][-1]["OPTIONS"]["context_processors"][0]
    project["TEMPLATES"][-1]["OPTIONS"]["string_if_invalid"] = "INVALID(%s)"
    project["TEMPLATES"][-1]["OPTIONS"]["autoescape"] = False


def _app_config(project: Project, folder: Path) -> None:
    apps = project["INSTALLED_APPS"]
    apps[apps.index("gcp_side.labseg")] = "gcp_side.labseg.apps.LabsegConfig"
    project["DEFAULT_AUTO_FIELD"] = "django.db.models.AutoField"


def _middleware(project: Project, folder: Path) -> None:
    project["MIDDLEWARE"] += [
        f"{PIECES}.StrictPolicy",
        f"{PIECES}.ExceptionsAsJson",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]


def _https(project: Project, folder: Path) -> None:
    project |= {
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 3600,
        "SECURE_CROSS_ORIGIN_OPENER_POLICY": "same-origin",
        "X_FRAME_OPTIONS": "DENY",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_NAME": "hospital_session",
        "SESSION_COOKIE_SAMESITE": "Strict",
        "CSRF_COOKIE_SECURE": True,
    }


def _cache(backend: str, **more: Any) -> Callable[[Project, Path], None]:
    def change(project: Project, folder: Path) -> None:
        project["CACHES"] = {"default": {"BACKEND": backend, **more}}

    return change


def _set(**changes: Any) -> Callable[[Project, Path], None]:
    def change(project: Project, folder: Path) -> None:
        project |= changes

    return change


SETTINGS: dict[str, Callable[[Project, Path], None]] = {
    "plain": _set(),
    "replica": _replica,
    "other-database": _other_database,
    "other-database-replica": _other_database_replica,
    "postgresql": _postgresql,
    "atomic": _atomic,
    "no-time-zones": _set(USE_TZ=False, TIME_ZONE="America/St_Johns"),
    "odd-time-zone": _set(TIME_ZONE="Asia/Kathmandu"),
    "no-translations": _set(USE_I18N=False, LANGUAGE_CODE="ko"),
    "korean": _set(LANGUAGE_CODE="ko-kr"),
    "german-numbers": _set(LANGUAGE_CODE="de", USE_THOUSAND_SEPARATOR=True),
    "other-letters": _set(DEFAULT_CHARSET="cp1252"),
    "csrf-sessions": _set(CSRF_USE_SESSIONS=True),
    "csrf-httponly": _set(CSRF_COOKIE_HTTPONLY=True),
    "csrf-names": _set(CSRF_COOKIE_NAME="hospital", CSRF_HEADER_NAME="HTTP_X_HOSPITAL_TOKEN"),
    "below-a-folder": _set(FORCE_SCRIPT_NAME="/pacs", CSRF_COOKIE_PATH="/pacs"),
    "no-slashes": _set(APPEND_SLASH=False),
    "https": _https,
    "hashed-static": _hashed_static,
    "other-static-host": _set(STATIC_URL="https://cdn.example.org/static/"),
    "rest-defaults": _rest_defaults,
    "tokens": _tokens,
    "mail-users": _mail_users,
    "no-permissions": _no_permissions,
    "other-engine": _other_engine,
    "few-processors": _few_processors,
    "app-config": _app_config,
    "middleware": _middleware,
    "no-cache": _cache("django.core.cache.backends.dummy.DummyCache"),
    "database-cache": _cache(
        "django.core.cache.backends.db.DatabaseCache", LOCATION="hospital_cache"
    ),
    "cache-away": _cache(f"{PIECES}.AwayCache"),
    "signed-sessions": _set(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"),
    "no-logging": _set(LOGGING_CONFIG=None),
    "asgi": _set(),
}
"""What a project may have, each by a name."""


class Visitor:
    """A browser of a user who is logged in, as far as its requests go."""

    def __init__(self, user: Any, *, is_secure: bool, is_async: bool) -> None:
        from asgiref.sync import async_to_sync
        from django.test import AsyncClient, Client

        kind = AsyncClient if is_async else Client
        self.client: Any = kind(enforce_csrf_checks=True, raise_request_exception=False)
        self._wrap = async_to_sync if is_async else (lambda call: call)
        self._options = {"secure": is_secure}
        self._origin = f"{'https' if is_secure else 'http'}://{ORIGIN}"
        if user is not None:
            self.client.force_login(user)

    def get(self, address: str, **headers: str) -> Any:
        """Ask for an address of this site, as pages have it."""
        return self._wrap(self.client.get)(_inside(address), headers=headers, **self._options)

    def post(self, address: str, body: Any, **headers: str) -> Any:
        """Send JSON, as a script of this site does."""
        return self._wrap(self.client.generic)(
            "POST",
            _inside(address),
            # Any other type would be sent in the project's DEFAULT_CHARSET.
            memoryview(json.dumps(body, ensure_ascii=False).encode()),
            content_type="application/json",
            headers={"Origin": self._origin, **headers},
            **self._options,
        )


def _inside(address: str) -> str:
    """Without the folder that a server in front takes away."""
    from django.conf import settings

    return address.removeprefix(settings.FORCE_SCRIPT_NAME or "")


def make_project(folder: Path, names: list[str]) -> None:
    """Set Django up, and make the tables and static files."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    project = plain_project(folder)
    for name in names:
        SETTINGS[name](project, folder)
    settings.configure(**project)
    django.setup()
    for alias in project["DATABASES"]:
        call_command("migrate", database=alias, verbosity=0, run_syncdb=True)
    if "database-cache" in names:
        call_command("createcachetable")
    if "hashed-static" in names:
        call_command("collectstatic", interactive=False, verbosity=0)


def a_user() -> Any:
    """Who may do all that a radiologist may, where users can have permissions."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission

    model: Any = get_user_model()
    user = model(**{model.USERNAME_FIELD: f"{'r' * 180}@example.org"[-150:]})
    user.is_staff = True
    user.set_password("a-password")
    user.save()
    if hasattr(user, "user_permissions"):
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="labseg"))
    return user


def look_at_page(visitor: Visitor) -> tuple[Project, Project]:
    """What the page and its scripts are like, and its configuration."""
    from gcp_side.labseg.host.addresses import page_address
    from tests.unit.gcp_side.fakes import STUDY_ID

    page = visitor.get(page_address("study", STUDY_ID))
    html = page.content.decode(page.charset)
    if page.status_code != 200:
        return {"page": page.status_code}, {}
    (config,) = re.findall(r'id="labseg-config" type="application/json">(.*?)</script>', html)
    addresses = re.findall(r'<script src="([^"]+)"', html)
    scripts = {address: visitor.get(address) for address in addresses}
    (module,) = [address for address in addresses if address.endswith("study.js")]
    neighbours = re.findall(r'from "\./(\w+\.js)"', scripts[module].content.decode())
    folder = module.removesuffix("study.js")
    more = [visitor.get(folder + name) for name in neighbours]
    return {
        "page": page.status_code,
        "invalid": "INVALID(" in html,
        "list": visitor.get(page_address("studies")).status_code,
        "scripts": sorted({answer.status_code for answer in (*scripts.values(), *more)}),
        "kinds": sorted({answer["Content-Type"].partition(";")[0] for answer in more}),
        "neighbours": len(neighbours) > 3,
    }, json.loads(config) | {"language": re.findall(r'<html lang="([^"]+)"', html)[0]}


def work(visitor: Visitor, config: Project) -> Project:
    """One job to its end and one that is called off, with what became of them."""
    from gcp_side.labseg.queue.access import get_bucket
    from gcp_side.labseg.signals import job_finished
    from tests.unit.gcp_side.fakes import FOUR, STUDY_ID, FakeAgent

    heard: list[str] = []
    receiver = lambda job, **_: heard.append(str(job.state))  # noqa: E731
    job_finished.connect(receiver)
    root, check = config["api"], config["csrf"]
    cookie = visitor.client.cookies.get(check["cookie"])
    token = {check["header"]: cookie.value if cookie is not None else check["token"]}
    body: Project = {"series": dict(zip(("dce-0", "dce-1", "dce-2", "dce-3"), FOUR, strict=True))}
    # Letters that not every project's own encoding has.
    body |= {"confirm": True, "note": "감각"}

    def submit(**headers: str) -> Any:
        return visitor.post(f"{root}studies/{STUDY_ID}/segment/", body, **headers)

    def status(job: str) -> Any:
        return visitor.get(f"{root}status/{job}/").json()

    refused, asked = submit(), submit(**token)
    if asked.status_code != 202:
        return {"submit": asked.status_code, "said": asked.json()}
    job = asked.json()["request_id"]
    agent = FakeAgent(get_bucket())
    claim, _ = agent.claim()
    states = [status(job)["status"]]
    agent.finish(claim)
    ended = status(job)
    states.append(ended["status"])
    second = submit(**token).json()["request_id"]
    again = visitor.post(f"{root}requests/{job}/retry/", {}, **token)
    cancelled = visitor.post(f"{root}requests/{second}/cancel/", {}, **token).json()
    age = datetime.now(UTC) - datetime.fromisoformat(ended["submitted_at"])
    events = visitor.get(f"{root}requests/{job}/events/").json()["events"]
    listed = visitor.get(f"{root}requests/?page=1&page_size=1").json()
    return {
        "without a token": refused.status_code,
        "states": [*states, cancelled["status"]],
        "again": again.json()["code"],
        "recent": 0 <= age.total_seconds() < 600,
        "finished_at": ended["finished_at"],
        "events": [event["kind"] for event in events],
        "listed": [listed["count"], len(listed["requests"])],
        "heard": heard,
        "job": job,
    }


def ask_otherwise(visitor: Visitor, stranger: Visitor, config: Project) -> Project:
    """What a program, a stranger and somebody with a slip in the address get."""
    root = config["api"]
    answers = {
        "profiles": visitor.get(f"{root}profiles/", accept="application/json"),
        "stranger": stranger.get(f"{root}profiles/"),
        "no such job": visitor.get(f"{root}status/xyz/"),
        "no such page": visitor.get(f"{root}requests/?page=x"),
    }
    return {
        name: [answer.status_code, answer["Content-Type"], sorted(answer.json())]
        for name, answer in answers.items()
    }


def operate(job: str) -> Project:
    """What the command and the admin's pages show."""
    from django.apps import apps
    from django.core.management import call_command

    out = StringIO()
    call_command("labseg", "sync", stdout=out)
    call_command("labseg", "list", stdout=out)
    call_command("labseg", "show", job, stdout=out)
    found = out.getvalue()
    shown = {"sync": "0 of 0 open jobs changed" in found, "listed": found.count(job) > 1}
    return shown | {"admin": apps.is_installed("django.contrib.admin")}


def look_at_admin(visitor: Visitor, job: str) -> list[int]:
    """Statuses of the admin's pages of jobs."""
    from django.urls import reverse

    pages = [reverse("admin:labseg_job_changelist"), reverse("admin:labseg_job_change", args=[job])]
    return [visitor.get(address).status_code for address in pages]


def checks() -> list[str]:
    """Ids of what Django's checks say of this app."""
    from django.core.checks import run_checks

    ids = {str(item.id) for item in run_checks()}
    return sorted(name for name in ids if name.startswith("labseg."))


def by_token(stranger: Visitor, config: Project, user: Any) -> Project:
    """What a program gets with a token instead of a session, and with a wrong one."""
    from django.core.signing import dumps
    from rest_framework.authtoken.models import Token

    from tests.unit.gcp_side.fakes import FOUR

    key = Token.objects.create(user=user).key
    body = {"sequence_series_ids": list(FOUR), "confirm": True}
    address = f"{config['api']}series/{FOUR[0]}/segment/"
    ways = {
        "token": f"Token {key}",
        "enveloped": f"Bearer {dumps({'sub': str(user.pk)})}",
        "wrong token": "Token 0",
        "wrong envelope": f"Bearer {dumps({'sub': str(user.pk)})}x",
        "basic": "Basic cjph",
    }
    return {
        name: stranger.post(address, body, Authorization=value).status_code
        for name, value in ways.items()
    }


def main(folder: Path, names: list[str]) -> Project:
    """Everything, in order."""
    make_project(folder, names)
    from gcp_side.labseg.orthanc import client
    from tests.unit.gcp_side.fakes import four_series

    fake = four_series()
    user = a_user()
    how = {"is_secure": "https" in names, "is_async": "asgi" in names}
    visitor, stranger = Visitor(user, **how), Visitor(None, **how)
    with patch.object(client, "connect", lambda: fake):
        page, config = look_at_page(visitor)
        found: Project = {"checks": checks(), "page": page}
        if not config:
            return found
        worked = work(visitor, config)
        found |= {"language": config["language"], "work": worked}
        found["others"] = ask_otherwise(visitor, stranger, config)
        if job := worked.pop("job", None):
            found["operator"] = operate(job)
            if found["operator"]["admin"]:
                found["operator"]["admin"] = look_at_admin(visitor, job)
        if "tokens" in names:
            found["tokens"] = by_token(stranger, config, user)
        user.delete()
        from gcp_side.labseg.models import Job

        found["forgotten"] = not Job.objects.filter(requested_by_id__isnull=False).exists()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), sys.argv[2:])))
