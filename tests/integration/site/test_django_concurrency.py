"""Several processes of a site write at once: nothing is locked, nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.servers.postgres import find_programs, private_postgres
from tests.support.site.racing_site import OWN_JOBS

PROCESSES = 4
CHANGES = 30
LIMIT_S = 300


@pytest.fixture(params=["sqlite", "postgresql"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A site's environment, on a database of its own with all tables."""
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
        call(values, str(ROOT / "gcp_side" / "manage.py"), "migrate", "--verbosity", "0")
        yield values


def call(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def racing_site(environment: dict[str, str], verb: str) -> Any:
    return json.loads(call(environment, "-m", "tests.support.site.racing_site", verb))


def start(environment: dict[str, str], number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.site.racing_site", "race", str(number), str(CHANGES)],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_changes_at_once_are_neither_locked_out_nor_lost(environment: dict[str, str]) -> None:
    racing_site(environment, "prepare")
    racers = [start(environment, number) for number in range(PROCESSES)]
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        outcomes = together(racers)
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    assert [outcome["made"] for outcome in outcomes] == [CHANGES] * PROCESSES
    found = racing_site(environment, "report")
    assert found["counted"] == PROCESSES * CHANGES
    assert found["own"] == ["cancelled"] * PROCESSES * OWN_JOBS
    # Submitted, put into the queue, cancelled: each once.
    assert found["own_events"] == 3 * PROCESSES * OWN_JOBS


def together(racers: list[subprocess.Popen[str]]) -> list[dict[str, int]]:
    """Let all go at once; what each says at its end. Its log must tell of no database error."""
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outcomes = []
    for racer in racers:
        out, err = racer.communicate(timeout=LIMIT_S)
        assert racer.returncode == 0, err[-2000:]
        assert "locked" not in err
        outcomes.append(json.loads(out))
    return outcomes
