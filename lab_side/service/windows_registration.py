"""A service of Windows as data and as a text: what is installed, for ``--print`` as well."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_side.service.needs import GOOGLE_VARIABLE, google_key, readable, secret_files, writable
from lab_side.service.scm import PRESHUTDOWN_S, display_name
from lab_side.settings.config import AgentConfig

RESTART_AFTER_MS = (0, 60_000, 60_000)
"""After the first, the second and every later crash."""

_LAUNCHER_VARIABLE = "__PYVENV_LAUNCHER__"
"""Names the virtual environment to the base interpreter; multiprocessing uses it alike."""

_TEXT = """\
Service {name} ({display}), which python.exe runs itself:
  command      {command}
  account      {account}
  environment  {environment}
  start        automatically, a while after Windows
  restart      {restart} s after a crash; never after a wrong setting (exit code 78)
  shutdown     Windows waits {preshutdown} s for the jobs in hand
  may write    {writable}
  may read     {readable}
  the folder of secrets, and the settings' file, are closed to others

Where services are not allowed, the Task Scheduler starts the agent with the computer instead:
  schtasks /Create /TN {name} /SC ONSTART /RU "%USERNAME%" /RP * /TR "{task}"
"""


@dataclass(frozen=True, kw_only=True)
class WindowsRegistration:
    """Describes one installation."""

    name: str
    program: str
    """The interpreter."""
    arguments: Sequence[str]
    account: str
    environment: Mapping[str, str]
    """Added to the system's."""
    config: Path
    writable: Sequence[Path]
    readable: Sequence[Path]
    secrets: Path | None
    """Folder of the files of secrets."""

    @property
    def command(self) -> str:
        """Return the command line."""
        return subprocess.list2cmdline([self.program, *self.arguments])

    def text(self) -> str:
        """Return all of it, for operators."""
        task = subprocess.list2cmdline(
            [sys.executable, "-m", "lab_side.cli", "--config", str(self.config), "run"]
        )
        return _TEXT.format(
            name=self.name,
            display=display_name(self.name),
            command=self.command,
            account=self.account,
            environment=", ".join(f"{k}={v}" for k, v in self.environment.items()) or "-",
            restart=", ".join(str(pause // 1000) for pause in RESTART_AFTER_MS),
            preshutdown=PRESHUTDOWN_S,
            writable=", ".join(map(str, self.writable)),
            readable=", ".join(map(str, self.readable)) or "-",
            task=task.replace('"', '\\"'),
        )


def registration_of(
    name: str, config: AgentConfig, path: Path, account: str, environment: Mapping[str, str]
) -> WindowsRegistration:
    """Describe the service for these settings, whose file is at ``path``."""
    key = google_key(config, environment)
    given = {} if key is None else {GOOGLE_VARIABLE: str(key)}
    program, launcher = _interpreter()
    host = ("-m", "lab_side.service.windows_host")
    return WindowsRegistration(
        name=name,
        program=program,
        arguments=(*host, "--config", str(path), "--name", name),
        account=account,
        environment={**launcher, **given},
        config=path,
        writable=writable(config),
        readable=(*readable(config), *(() if key is None else (key,))),
        secrets=config.credentials_dir if secret_files(config) else None,
    )


def _interpreter() -> tuple[str, dict[str, str]]:
    """Return the program that the service manager starts, and the environment that it needs.

    Of a virtual environment, ``python.exe`` only starts another process, and that one would be a
    stranger to the service manager.
    """
    base = getattr(sys, "_base_executable", sys.executable)
    if base == sys.executable:
        return sys.executable, {}
    return base, {_LAUNCHER_VARIABLE: sys.executable}
