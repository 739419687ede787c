"""A Windows under wine, with the Python that ``infra/windows_python`` makes for it.

wine keeps the meaning of names, locks, sharing, processes and services; what it does not keep (a
rename of a folder in which a file is open succeeds, ``msvcrt`` locks are byte ranges of Linux) only
a real Windows can show.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from tests.support.paths import ROOT

PYTHON = ROOT / ".cache" / "windows" / "cp313" / "python.exe"
START = ROOT / "tests" / "windows" / "start"
"""A ``sitecustomize`` that shortens times in the service, which a test cannot start itself."""

LIMIT_S = 600
"""Until a command is taken for hung."""

_QUIET = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}
_VARIABLES_KEY = r"HKLM\System\CurrentControlSet\Control\Session Manager\Environment"


@dataclass(frozen=True, kw_only=True)
class Windows:
    """One Windows of its own."""

    prefix: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Start Windows.

        One server for all: each new one would start the installed services anew. Windows' own
        processes, and so the services, keep the standard handles of whoever came first: those
        are a pipe, without which python.exe ends at its start, and nobody waits for its end.
        """
        script = "wineserver -p && wine wineboot > >(exec cat >/dev/null) 2>&1"
        subprocess.run(
            ["bash", "-c", script],
            env=self.full_environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    def end(self) -> None:
        """End Windows and all that runs in it."""
        environment = self.full_environment({})
        subprocess.run(["wineserver", "-k"], env=environment, check=False)
        subprocess.run(["wineserver", "-w"], env=environment, check=False)

    def run(
        self, *arguments: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python.exe`` with these arguments in the project's folder."""
        done = subprocess.run(
            self._piped([str(PYTHON), *arguments]),
            env=self.full_environment(environment),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout[-6000:]
        return done

    def open(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start ``python.exe``; the process that is returned is the one of Windows."""
        # With other kinds of standard handles, python.exe ends at its start under wine.
        script = 'exec wine "$@" > >(exec cat) 2>&1'
        return subprocess.Popen(
            ["bash", "-c", script, "wine", str(PYTHON), *arguments],
            env=self.full_environment(environment),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def full_environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Of a process under wine."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SEGRELAY")}
        paths = {"PYTHONPATH": _import_path(), "WINEPREFIX": str(self.prefix)}
        return {**kept, **_QUIET, **self.environment, **more, **paths}

    def wine(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of wine itself."""
        return subprocess.run(
            self._piped(list(command)),
            env=self.full_environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def set_variable(self, name: str, value: str) -> None:
        """For every service."""
        done = self.wine("reg", "add", _VARIABLES_KEY, "/v", name, "/d", value, "/f")
        assert done.returncode == 0, done.stdout

    @staticmethod
    def _piped(command: Sequence[str]) -> list[str]:
        return ["bash", "-c", 'set -o pipefail; wine "$@" | cat', "wine", *command]


def in_windows(path: Path) -> str:
    """How Windows names a file of this computer."""
    return "Z:" + str(path).replace("/", "\\")


def _import_path() -> str:
    return ";".join(in_windows(folder) for folder in (ROOT, ROOT / "common"))


def address_in_windows(folder: Path) -> str:
    """The same as the address of a queue."""
    return f"file:///Z:{folder}"


@contextlib.contextmanager
def open_windows(folder: Path) -> Iterator[Windows]:
    """A fresh Windows; nothing that runs in it survives."""
    if shutil.which("wine") is None or not PYTHON.exists():
        pytest.skip("no Windows Python here: run infra/windows_python (needs wine)")
    windows = Windows(prefix=folder / "prefix")
    subprocess.run(
        [ROOT / "infra" / "windows_python", windows.prefix],
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )
    try:
        # Services are given the variables that were there when Windows started.
        windows.begin()
        windows.set_variable("PYTHONPATH", f"{in_windows(START)};{_import_path()}")
        windows.end()
        windows.begin()
        yield windows
    finally:
        windows.end()
        shutil.rmtree(windows.prefix, ignore_errors=True)
