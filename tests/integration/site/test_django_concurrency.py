"""Several processes of a site write at once: nothing is locked, nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.servers.postgres import find_programs, private_postgres
from tests.support.paths import ROOT
from tests.support.site.racing_site import OWN_JOBS

PROCESSES = 4
CHANGES = 30
LIMIT_S = 300


@pytest.fixture(params=["sqlite", "postgresql"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A site's environment, on a database of its own, still empty."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            address = str(tmp_path / "site.sqlite3")
        else:
            programs = find_programs()
            if programs is None:
                pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
            pytest.importorskip("psycopg")
            address = stack.enter_context(private_postgres(programs))
        values = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "gcp_side.site.settings",
            "SEGRELAY_DEBUG": "1",
            "SEGRELAY_DATABASE": address,
            "SEGRELAY_BUCKET": (tmp_path / "queue").as_uri(),
            "SEGRELAY_ORTHANC_URL": "http://127.0.0.1:9",
        }
        yield values


def test_changes_at_once_are_neither_locked_out_nor_lost(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.site.racing_site", str(PROCESSES), str(CHANGES)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "locked" not in done.stderr
    found = json.loads(done.stdout)
    assert found["made"] == [CHANGES] * PROCESSES
    assert found["counted"] == PROCESSES * CHANGES
    assert found["own"] == ["cancelled"] * PROCESSES * OWN_JOBS
    # Submitted, put into the queue, cancelled: each once.
    assert found["own_events"] == 3 * PROCESSES * OWN_JOBS
