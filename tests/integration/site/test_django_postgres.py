"""The app's tests once more, on PostgreSQL: it refuses what SQLite takes, and locks otherwise."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.servers.postgres import find_programs, private_postgres

TESTS = [
    f"tests/unit/gcp_side/{room}/test_{name}.py"
    for room, names in (
        ("api", ("rest", "views")),
        ("jobs", ("jobs", "retry_cancel", "signals")),
        ("project", ("admin",)),
    )
    for name in names
]
LIMIT_S = 600


def test_what_holds_on_sqlite_holds_on_postgresql() -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    pytest.importorskip("psycopg")
    with private_postgres(programs) as address:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("--ds", "tests.settings_postgres", *TESTS),
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
    assert int(passed[1]) > 100
