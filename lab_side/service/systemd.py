"""Installing the agent as a service of systemd, and asking after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_side.service.needs import google_key, readable, secret_files, writable
from lab_side.service.unit import Unit
from lab_side.settings.config import AgentConfig
from segrelay.errors import FixConfigurationError, TransientError

UNIT_FOLDER = Path("/etc/systemd/system")

GOOGLE_KEY = "gcs-key.json"
"""The credential with the key of the service account."""

DEFAULT_USER = "segrelay"

_CALL_SECONDS = 60


@dataclass(frozen=True)
class Systemd:
    """One agent as a unit of systemd."""

    name: str

    @property
    def default_user(self) -> str:
        """One account serves all agents of this computer."""
        return DEFAULT_USER

    @property
    def log_hint(self) -> str:
        """A sentence for operators: where the reason of an end is found."""
        return f"Its log: journalctl -u {self.unit}"

    @property
    def unit(self) -> str:
        """The name of the unit."""
        return f"{self.name}.service"

    @property
    def path(self) -> Path:
        """The unit's file."""
        return UNIT_FOLDER / self.unit

    def register(
        self, config: AgentConfig, path: Path, user: str, environment: Mapping[str, str]
    ) -> Unit:
        """The unit for these settings, whose file is at ``path``."""
        credentials = secret_files(config)
        google = google_key(config, environment)
        if google is not None:
            credentials[GOOGLE_KEY] = google
        return Unit(
            command=_command(),
            config=path,
            user=user,
            writable=writable(config),
            readable=readable(config),
            credentials=credentials,
            google_key="" if google is None else GOOGLE_KEY,
            drain_minutes=config.drain_minutes,
        )

    def install(
        self, config: AgentConfig, path: Path, user: str, environment: Mapping[str, str]
    ) -> str:
        """Make the account and the work folder, write the unit and let it start with the computer.

        Raises
        ------
        FixConfigurationError
            ``service-root``, ``service-no-systemd``, ``service-refused``.
        """
        _find_systemctl()
        _need_root()
        unit, target = self.register(config, path, user, environment), self.path
        try:
            self._make_account(user)
            _give_folder(config.work_dir, user)
            if config.log_dir is not None:
                _make_folder(config.log_dir, user)
            target.write_text(unit.text(), encoding="utf-8")
        except OSError as error:
            raise self._refused(f"{error.filename or target}: {error.strerror}") from None
        self.call("daemon-reload")
        self.call("enable", self.unit)
        return str(target)

    def uninstall(self) -> bool:
        """Stop the service, which drains it, and take the unit away; whether there was one."""
        _find_systemctl()
        _need_root()
        if not self.is_installed():
            return False
        # Its stop waits for the drain: no time-out of ours.
        self.call("disable", "--now", self.unit, seconds=None)
        self.path.unlink()
        self.call("daemon-reload")
        return True

    def is_installed(self) -> bool:
        """Return whether there is a unit."""
        return self.path.exists()

    def state(self) -> str:
        """Return ``active``, ``inactive``, … as ``systemctl is-active``; empty: unknown."""
        if shutil.which("systemctl") is None:
            return ""
        done = self._run(["systemctl", "is-active", self.unit], _CALL_SECONDS)
        return done.stdout.strip()

    def start(self) -> None:
        """Start it; the models are loaded before systemd calls it started, which takes minutes."""
        self.call("start", "--no-block", self.unit)

    def stop(self) -> None:
        """Stop it, and wait until it has drained."""
        self.call("stop", self.unit, seconds=None)

    def call(self, *arguments: str, seconds: float | None = _CALL_SECONDS) -> str:
        """``systemctl``; returns what it says.

        Raises
        ------
        FixConfigurationError
            ``service-no-systemd``, ``service-refused``: it says no.
        """
        _find_systemctl()
        done = self._run(["systemctl", *arguments], seconds)
        if done.returncode != 0:
            why = (done.stderr or done.stdout).strip().splitlines()
            raise self._refused(why[-1] if why else f"exit code {done.returncode}")
        return done.stdout

    def _run(
        self, command: Sequence[str], seconds: float | None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 (constants)
                command, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise TransientError(
                f"{' '.join(command[:2])} did not end in {seconds:.0f} s.",
                code="service-slow",
                remedy=f"Look at: systemctl status {self.unit}",
            ) from None

    def _refused(self, why: str) -> FixConfigurationError:
        return FixConfigurationError(
            f"The service manager refused ({why}).",
            code="service-refused",
            remedy=f"Look at: systemctl status {self.unit}; journalctl -u {self.unit} -n 50",
        )

    def _make_account(self, user: str) -> None:
        import pwd

        try:
            pwd.getpwnam(user)
        except KeyError:
            done = self._run(
                ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user],
                _CALL_SECONDS,
            )
            if done.returncode != 0:
                raise self._refused(f"useradd {user}: {done.stderr.strip()}") from None


def _find_systemctl() -> None:
    if shutil.which("systemctl") is None:
        raise FixConfigurationError(
            "There is no systemctl here: services are managed by something else than systemd.",
            code="service-no-systemd",
            remedy="Start lab-agent run by what this system has; lab-agent service install "
            "--print shows what the unit of systemd says.",
        )


def _need_root() -> None:
    if os.geteuid() != 0:
        raise FixConfigurationError(
            "Only root can install or remove a service.",
            code="service-root",
            remedy="Run it with sudo; --print shows the unit without installing it.",
        )


def _make_folder(folder: Path, user: str) -> None:
    """One that is there belongs to others as well, and is left as it is."""
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
        shutil.chown(folder, user)


def _give_folder(folder: Path, user: str) -> None:
    """The agent's account owns its work folder, also what an earlier run as root left there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.chown(folder, user)
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            # Of a link itself: what it leads to is not ours to give away.
            path = Path(base) / name
            if not path.is_symlink():
                shutil.chown(path, user)


def _command() -> list[str]:
    """``lab-agent`` as it was installed beside this Python, else the module."""
    script = Path(sys.executable).with_name("lab-agent")
    return [str(script)] if script.exists() else [sys.executable, "-m", "lab_side.cli"]
