"""The app in somebody's Django project: with odd settings one by one, and with all of them at once.

A page is opened, its scripts are loaded, a job is sent with the page's token, an agent works on it,
the signal comes, the admin and the command show it: the same in every project.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.servers.postgres import find_programs, private_postgres
from tests.support.paths import ROOT
from tests.support.site.host_project import SETTINGS

LIMIT_S = 300

REFUSAL = ["code", "detail", "error", "remedy", "success"]
JSON = "application/json"

SAME: dict[str, Any] = {
    "checks": [],
    "page": {
        "page": 200,
        "invalid": False,
        "list": 200,
        "scripts": [200],
        "kinds": ["text/javascript"],
        "neighbours": True,
    },
    "language": "en",
    "work": {
        "without a token": 403,
        "states": ["claimed", "succeeded", "cancelled"],
        "again": "job-succeeded",
        "recent": True,
        "finished_at": "2026-05-04T03:02:01+00:00",
        "events": ["submitting", "pending", "claimed", "succeeded"],
        "listed": [2, 1],
        "heard": ["succeeded", "cancelled"],
    },
    "others": {
        "profiles": [200, JSON, ["profiles", "success"]],
        "stranger": [403, JSON, ["code", "error", "success"]],
        "no such job": [404, JSON, REFUSAL],
        "no such page": [400, JSON, REFUSAL],
    },
    "operator": {"sync": True, "listed": True, "admin": [200, 200]},
    "forgotten": True,
}
"""What comes of it."""

TOKENS: dict[str, Any] = {
    "tokens": {
        "token": 202,
        "enveloped": 202,
        "wrong token": 401,
        "wrong envelope": 401,
        "basic": 401,
    },
    "others": SAME["others"] | {"stranger": [401, JSON, ["code", "error", "success"]]},
}
"""With ways in of the project's own; the first of them names itself to a stranger."""

OTHERWISE: dict[str, dict[str, Any]] = {
    "korean": {"language": "ko"},
    "tokens": TOKENS,
}

TOGETHER = (
    "other-database-replica",
    "atomic",
    "no-time-zones",
    "german-numbers",
    "other-letters",
    "csrf-sessions",
    "csrf-names",
    "below-a-folder",
    "no-slashes",
    "https",
    "other-static-host",
    "hashed-static",
    "rest-defaults",
    "tokens",
    "app-config",
    "mail-users",
    "other-engine",
    "few-processors",
    "middleware",
    "no-cache",
    "signed-sessions",
    "no-logging",
    "asgi",
)
"""All that can be had at the same time."""

ALONE = [name for name in SETTINGS if name not in ("no-permissions", "postgresql")]


def project(folder: Path, *names: str) -> dict[str, Any]:
    """What came of a project with these settings."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.site.host_project", str(folder), *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_project_with_all_of_them_at_once(tmp_path: Path) -> None:
    assert project(tmp_path, *TOGETHER) == SAME | TOKENS


@pytest.mark.long
@pytest.mark.parametrize("name", ALONE)
def test_a_project_with_one_of_them(tmp_path: Path, name: str) -> None:
    assert project(tmp_path, name) == SAME | OTHERWISE.get(name, {})


@pytest.mark.long
def test_users_who_can_have_no_permissions_are_refused_and_a_check_says_why(tmp_path: Path) -> None:
    found = project(tmp_path, "no-permissions")
    assert (found["checks"], found["page"]) == (["labseg.E004"], {"page": 403})


@pytest.mark.long
@pytest.mark.parametrize("others", [(), ("no-time-zones", "atomic")], ids="-".join)
def test_a_project_on_postgresql(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...]
) -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    pytest.importorskip("psycopg")
    with private_postgres(programs) as address:
        monkeypatch.setenv("SEGRELAY_TESTS_POSTGRES", address)
        assert project(tmp_path, "postgresql", *others) == SAME
