"""A docker engine: this machine's where one answers, else one of our own until the block ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.packages.debian import repository_root
from infra.servers.processes import Child, ProcessSet
from segrelay.errors import FixConfigurationError

CACHE = repository_root() / ".cache" / "containers"
"""Images and layers of our own engine: a second run is quick."""

START_LIMIT_S = 60.0
COMMAND_LIMIT_S = 1800.0


@dataclass(frozen=True)
class Engine:
    """How docker is called."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """What leads the command to its engine and plugins."""

    def docker(
        self, *words: str, given: Mapping[str, str] | None = None, data: Path | None = None
    ) -> str:
        """Run ``docker …`` in the repository and return its standard output.

        ``given`` is added to the environment; ``data`` is its standard input.

        Raises
        ------
        FixConfigurationError
            It failed; the message has its last line.
        """
        done = self.attempt(*words, given=given, data=data)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise FixConfigurationError(
                f"`docker {' '.join(words[:3])} …` failed: {lines[-1]}",
                code="command-failed",
                remedy="Read what it says; the engine's log is in .cache/containers.",
            )
        return done.stdout

    def attempt(
        self, *words: str, given: Mapping[str, str] | None = None, data: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        with (data or Path(os.devnull)).open("rb") as source:
            return subprocess.run(
                ["docker", *words],
                cwd=repository_root(),
                env={**os.environ, **self.environment, **(given or {})},
                stdin=source,
                capture_output=True,
                text=True,
                timeout=COMMAND_LIMIT_S,
                check=False,
            )


def hindrance() -> str | None:
    """Why no engine can be had here, in words; None where one can."""
    if shutil.which("docker") is None:
        return "no docker command"
    if _answers(Engine()):
        return None
    if os.geteuid() != 0:
        return "no docker engine answers, and only root can start one"
    if shutil.which("dockerd") is None:
        return "no docker engine answers, and none is installed (Debian: docker.io)"
    return None


@contextmanager
def running_engine() -> Iterator[Engine]:
    """The engine to use.

    Raises
    ------
    FixConfigurationError
        There is none, and none can be started.
    """
    if (reason := hindrance()) is not None:
        raise FixConfigurationError(
            f"Containers cannot be run: {reason}.",
            code="program-missing",
            remedy="Install docker (Debian: docker.io) and run this as root.",
        )
    if _answers(Engine()):
        yield Engine()
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    engine = Engine(
        {
            "DOCKER_HOST": f"unix://{CACHE}/engine.sock",
            "DOCKER_CONFIG": str(CACHE / "config"),
        }
    )
    with ProcessSet() as processes:
        child = processes.start("dockerd", _own_engine(), log=CACHE / "engine.log")
        _wait_for(engine, child)
        yield engine


def _own_engine() -> list[str]:
    return [
        "dockerd",
        *("--host", f"unix://{CACHE}/engine.sock"),
        *("--data-root", str(CACHE / "data")),
        *("--exec-root", str(CACHE / "run")),
        *("--pidfile", str(CACHE / "engine.pid")),
    ]


def _wait_for(engine: Engine, child: Child) -> None:
    end = time.monotonic() + START_LIMIT_S
    while not _answers(engine):
        if child.process.poll() is not None or time.monotonic() > end:
            raise FixConfigurationError(
                f"dockerd did not start: {child.log_tail()}",
                code="command-failed",
                remedy="It needs root, cgroups and iptables; see its log in .cache/containers.",
            )
        time.sleep(0.5)


def _answers(engine: Engine) -> bool:
    return engine.attempt("version", "--format", "{{.Server.Version}}").returncode == 0
