"""The app's tests once more, on PostgreSQL: it refuses what SQLite takes, and locks otherwise."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from infra.servers.postgres import find_programs, private_postgres
from tests.support.paths import ROOT

APP = [
    f"tests/unit/gcp_side/{room}/test_{name}.py"
    for room, names in (
        ("api", ("rest", "views")),
        ("jobs", ("jobs", "retry_cancel", "signals")),
        ("project", ("admin",)),
    )
    for name in names
]
QUEUE = [
    "tests/unit/gcp_side/queue/test_store.py",
    "tests/integration/bucket/test_every_store.py",
    "tests/model",
]
"""Of these the tests of the site's own store without a server: those with one run on both."""

LIMIT_S = 1800


@pytest.mark.parametrize(
    ("tests", "chosen", "least"),
    [
        pytest.param(APP, "", 100, id="app"),
        pytest.param(
            QUEUE,
            "(site or test_store) and not (request_breaks or processes)",
            50,
            id="queue",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_holds_on_sqlite_holds_on_postgresql(
    tests: list[str], chosen: str, least: int
) -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    pytest.importorskip("psycopg")
    with private_postgres(programs) as address:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("--ds", "tests.settings_postgres", "-m", "not long", "-k", chosen, *tests),
            ],
            cwd=ROOT,
            env=os.environ | {"SEGRELAY_TESTS_POSTGRES": address},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert "skipped" not in done.stdout
    assert int(passed[1]) > least
