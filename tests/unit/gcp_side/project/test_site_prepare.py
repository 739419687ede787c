"""``gcp_side.site.prepare``: tables and static files before a version serves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.servers.ports import free_port
from infra.servers.postgres import find_programs, private_postgres
from tests.support.paths import ROOT


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.long), "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of an empty database."""
    if request.param == "sqlite":
        yield str(tmp_path / "site.sqlite3")
        return
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    with private_postgres(programs) as server:
        yield server


def start(address: str, folder: Path, limit_s: float = 60.0) -> subprocess.Popen[str]:
    """The program, waiting for its database for ``limit_s`` at most."""
    program = (
        "import sys; from gcp_side.site import prepare; "
        f"prepare.WAITING_S = {limit_s}; sys.exit(prepare.main())"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SEGRELAY_BUCKET": (folder / "queue").as_uri(),
        "SEGRELAY_ORTHANC_URL": "https://orthanc.example",
        "SEGRELAY_SECRET_KEY": "k" * 60,
        "SEGRELAY_DATABASE": address,
        "SEGRELAY_STATIC_ROOT": str(folder / "static"),
    }
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, error = process.communicate(timeout=100)
    return process.returncode, out, error


@pytest.mark.process
def test_several_at_once_make_the_tables_once(address: str, tmp_path: Path) -> None:
    ends = [end(process) for process in [start(address, tmp_path) for _ in range(2)]]
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert sum("Applying labseg.0001" in out for _, out, _ in ends) == 1
    assert sum("No migrations to apply" in out for _, out, _ in ends) == 1
    assert (tmp_path / "static" / "admin" / "css" / "base.css").is_file()
    folders = [path for path in (tmp_path / "static").rglob("*") if path.is_dir()]
    # Another user id of the group, after an upgrade, can replace what is there.
    assert all(folder.stat().st_mode & 0o070 == 0o070 for folder in folders)


@pytest.mark.process
def test_a_database_that_is_away_is_waited_for_and_named(tmp_path: Path) -> None:
    began = time.monotonic()
    address = f"postgresql://site:hunter2@127.0.0.1:{free_port()}/segrelay"
    code, _, error = end(start(address, tmp_path, limit_s=1.0))
    assert time.monotonic() - began > 1.0
    assert code == 75
    assert error.count("\n") == 1
    assert "The database does not answer" in error
    assert "hunter2" not in error


@pytest.mark.parametrize(
    ("address", "code", "word"),
    [
        ("mysql://site@db/segrelay", 78, "SEGRELAY_DATABASE"),
        ("/nonexistent/folder/site.sqlite3", 75, "unable to open"),
    ],
)
@pytest.mark.process
def test_a_wrong_address_is_one_line_and_not_waited_for(
    tmp_path: Path, address: str, code: int, word: str
) -> None:
    found, _, error = end(start(address, tmp_path))
    assert found == code
    assert error.count("\n") == 1
    assert word in error
