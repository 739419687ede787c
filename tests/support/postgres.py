"""A private PostgreSQL server, from Debian's binaries, reached by a socket in its own folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

BINARIES = Path("/usr/lib/postgresql")
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root."""

NAME = "segrelay"
_LIMIT_S = 120


class PostgresServer:
    """A server process; a context manager that throws its data away."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="segrelay-pg-"))
        self._data = self._folder / "data"

    @property
    def address(self) -> str:
        """As ``SEGRELAY_DATABASE`` takes it."""
        return f"postgresql://{NAME}@/{NAME}?host={self._folder}"

    def __enter__(self) -> PostgresServer:
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run("pg_ctl", "--pgdata", self._data, "--mode", "immediate", "-w", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self._folder, UNPRIVILEGED)
        self._run(
            *("initdb", "--pgdata", self._data, "--username", NAME),
            *("--auth", "trust", "--encoding", "UTF8", "--no-sync"),
        )
        options = f"-c listen_addresses='' -k {self._folder} -c fsync=off"
        log = self._folder / "log"
        self._run("pg_ctl", "--pgdata", self._data, "-o", options, "-l", log, "-w", "start")
        self._run("createdb", "--host", self._folder, "--username", NAME, NAME)

    def _run(self, program: str, *arguments: str | Path) -> None:
        with (self._folder / "output").open("a+") as output:
            # A file: the server inherits it, and a pipe would never end.
            done = subprocess.run(
                [self._programs / program, *arguments],
                cwd=self._folder,
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
                raise RuntimeError(f"{program}: {output.read()[-2000:]}")


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
