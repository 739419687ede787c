"""A private PostgreSQL server, from Debian's binaries, reached by a socket in its own folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARIES = Path("/usr/lib/postgresql")
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root."""

NAME = "segrelay"
_LIMIT_S = 120


@contextmanager
def private_postgres(programs: Path, *, is_durable: bool = False) -> Iterator[str]:
    """A server until the block ends; gives its address as ``SEGRELAY_DATABASE`` takes it.

    Parameters
    ----------
    programs:
        The folder of its programs (:func:`find_programs`).
    is_durable:
        Flush each commit to the disk, as by default; else nothing is flushed.
    """
    folder = Path(tempfile.mkdtemp(prefix="segrelay-pg-"))
    fsync = "on" if is_durable else "off"
    data = folder / "data"
    options = f"-c listen_addresses='' -c max_connections=300 -k {folder} -c fsync={fsync}"
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED)
        _run(
            folder,
            programs / "initdb",
            *("--pgdata", data, "--username", NAME),
            *("--auth", "trust", "--encoding", "UTF8", "--no-sync"),
        )
        control = (programs / "pg_ctl", "--pgdata", data, "-w")
        _run(folder, *control, "-o", options, "-l", folder / "log", "start")
        try:
            _run(folder, programs / "createdb", "--host", folder, "--username", NAME, NAME)
            yield f"postgresql://{NAME}@/{NAME}?host={folder}"
        finally:
            _run(folder, *control, "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, program: Path, *arguments: str | Path) -> None:
    with (folder / "output").open("a+") as output:
        # A file: the server inherits it, and a pipe would never end.
        done = subprocess.run(
            [program, *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_LIMIT_S,
            check=False,
            **_unprivileged(),
        )
        output.seek(0)
        if done.returncode:
            raise RuntimeError(f"{program.name}: {output.read()[-2000:]}")


def _unprivileged() -> dict[str, Any]:
    """Arguments of a process that shall not be root's."""
    if os.geteuid() != 0:
        return {}
    group = pwd.getpwnam(UNPRIVILEGED).pw_gid
    return {"user": UNPRIVILEGED, "group": group, "extra_groups": []}


def find_programs() -> Path | None:
    """The folder of the newest server that is installed."""
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None
