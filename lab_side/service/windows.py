"""Installing the agent as a service of Windows, and asking after it; by pywin32."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_side.service.needs import (
    GOOGLE_VARIABLE,
    google_key,
    readable,
    secret_files,
    writable,
)
from lab_side.service.scm import DESCRIPTION, PRESHUTDOWN_S, display_name
from lab_side.settings.config import AgentConfig
from segrelay.errors import FixConfigurationError

RESTART_AFTER_MS = (0, 60_000, 60_000)
"""After the first, the second and every later crash."""

RESET_S = 24 * 3600
"""A crash after so long without one is a first crash again."""

_LAUNCHER_VARIABLE = "__PYVENV_LAUNCHER__"
"""Tells the base interpreter which virtual environment it runs for; so does multiprocessing."""

_SERVICES_KEY = r"SYSTEM\CurrentControlSet\Services"
_POLL = 0.2
_NO_SERVICE, _DENIED, _RUNS_ALREADY, _NOT_ACTIVE, _IS_DELETED = 1060, 5, 1056, 1062, 1072
_UNKNOWN_LEVEL, _NEVER_STARTED = 124, 1077
_NO_PASSWORD = ("nt service\\", "nt authority\\", "localsystem")
_SYSTEM, _ADMINISTRATORS = "*S-1-5-18", "*S-1-5-32-544"
"""By number: their names are translated."""

_TEXT = """\
Service {name} ({display}), which python.exe runs itself:
  command      {command}
  account      {account}
  environment  {environment}
  start        by itself, a while after Windows
  restart      {restart} s after a crash; never after a wrong setting (exit code 78)
  shutdown     Windows waits {preshutdown} s for the jobs in hand
  may write    {writable}
  may read     {readable}
  the folder of secrets, and the settings' file, are closed to others

Where services are not allowed, the Task Scheduler starts the agent with the computer instead:
  schtasks /Create /TN {name} /SC ONSTART /RU "%USERNAME%" /RP * /TR "{task}"
"""


@dataclass(frozen=True, kw_only=True)
class ServiceOfWindows:
    """What differs from one installation to the next."""

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
        """The command line."""
        return subprocess.list2cmdline([self.program, *self.arguments])

    def text(self) -> str:
        """All of it, for a person."""
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


@dataclass(frozen=True)
class WindowsService:
    """One agent as a service of Windows."""

    name: str

    @property
    def default_user(self) -> str:
        """An account that Windows makes for this service alone, without a password."""
        return rf"NT SERVICE\{self.name}"

    @property
    def log_hint(self) -> str:
        """Where a person reads why the service has ended."""
        return "Its log: lab-agent logs; why it did not start: the Application log of Windows"

    @property
    def _display_name(self) -> str:
        return display_name(self.name)

    def register(
        self, config: AgentConfig, path: Path, user: str, environment: Mapping[str, str]
    ) -> ServiceOfWindows:
        """The service for these settings, whose file is at ``path``."""
        key = google_key(config, environment)
        given = {} if key is None else {GOOGLE_VARIABLE: str(key)}
        program, launcher = _interpreter()
        host = ("-m", "lab_side.service.windows_host")
        return ServiceOfWindows(
            name=self.name,
            program=program,
            arguments=(*host, "--config", str(path), "--name", self.name),
            account=user,
            environment={**launcher, **given},
            config=path,
            writable=writable(config),
            readable=(*readable(config), *(() if key is None else (key,))),
            secrets=config.credentials_dir if secret_files(config) else None,
        )

    def install(
        self, config: AgentConfig, path: Path, user: str, environment: Mapping[str, str]
    ) -> str:
        """Make the service, or bring it up to date, and give its account what it needs.

        Raises
        ------
        FixConfigurationError
            ``service-root``, ``service-refused``, ``service-account``.
        """
        _need_administrator()
        service = self.register(config, path, user, environment)
        with _refusals():
            unknown = self._write_service(service)
            self._write_environment(service.environment)
            self._add_event_source()
        # Only now: Windows knows the account of a service once there is the service.
        _give_rights(service)
        return f"{self.name}, without {', '.join(unknown)}: unknown here" if unknown else self.name

    def uninstall(self) -> bool:
        """Stop the service, which drains it, and take it away; whether there was one."""
        import win32evtlogutil
        import win32service

        _need_administrator()
        if not self.is_installed():
            return False
        self.stop()
        with _refusals(), self._open_service(win32service.SERVICE_ALL_ACCESS) as service:
            win32service.DeleteService(service)
        with _refusals():
            win32evtlogutil.RemoveSourceFromRegistry(self.name)
        return True

    def is_installed(self) -> bool:
        """Whether there is a service."""
        import pywintypes
        import win32service

        try:
            with self._open_service(win32service.SERVICE_QUERY_STATUS):
                return True
        except pywintypes.error as error:
            # Marked for removal, it stays until the last program lets go of it.
            return error.winerror not in (_NO_SERVICE, _IS_DELETED)

    def state(self) -> str:
        """As ``systemctl is-active`` says: ``active``, ``inactive``, …; empty: unknown."""
        import pywintypes
        import win32service

        try:
            with self._open_service(win32service.SERVICE_QUERY_STATUS) as service:
                status = win32service.QueryServiceStatusEx(service)
        except pywintypes.error:
            return ""
        words = {
            win32service.SERVICE_RUNNING: "active",
            win32service.SERVICE_START_PENDING: "activating",
            win32service.SERVICE_STOP_PENDING: "deactivating",
        }
        has_failed = status["Win32ExitCode"] not in (0, _NEVER_STARTED)
        return words.get(status["CurrentState"], "failed" if has_failed else "inactive")

    def start(self) -> None:
        """Start it; the models are loaded afterwards."""
        import win32service

        with (
            _refusals(besides=_RUNS_ALREADY),
            self._open_service(win32service.SERVICE_START) as service,
        ):
            win32service.StartService(service, None)

    def stop(self) -> None:
        """Stop it, and wait until it has drained."""
        import win32service

        rights = win32service.SERVICE_STOP | win32service.SERVICE_QUERY_STATUS
        with _refusals(besides=_NOT_ACTIVE), self._open_service(rights) as service:
            win32service.ControlService(service, win32service.SERVICE_CONTROL_STOP)
        while self.state() in ("active", "deactivating"):
            time.sleep(_POLL)

    def _write_service(self, service: ServiceOfWindows) -> list[str]:
        """Returns what of it this Windows does not know."""
        import win32service

        password = _password(service.account)
        kind = (
            win32service.SERVICE_WIN32_OWN_PROCESS,
            win32service.SERVICE_AUTO_START,
            win32service.SERVICE_ERROR_NORMAL,
            service.command,
            None,
            0,
            None,
            service.account,
            password,
        )
        manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_ALL_ACCESS)
        try:
            if self.is_installed():
                with self._open_service(win32service.SERVICE_ALL_ACCESS) as handle:
                    win32service.ChangeServiceConfig(handle, *kind, self._display_name)
                    return _configure(handle)
            handle = win32service.CreateService(
                manager, self.name, self._display_name, win32service.SERVICE_ALL_ACCESS, *kind
            )
            try:
                return _configure(handle)
            finally:
                win32service.CloseServiceHandle(handle)
        finally:
            win32service.CloseServiceHandle(manager)

    def _write_environment(self, environment: Mapping[str, str]) -> None:
        import win32api
        import win32con

        key = win32api.RegOpenKeyEx(
            win32con.HKEY_LOCAL_MACHINE, rf"{_SERVICES_KEY}\{self.name}", 0, win32con.KEY_SET_VALUE
        )
        try:
            lines = [f"{name}={value}" for name, value in environment.items()]
            win32api.RegSetValueEx(key, "Environment", 0, win32con.REG_MULTI_SZ, lines)
        finally:
            win32api.RegCloseKey(key)

    def _add_event_source(self) -> None:
        """Without it, the Application log shows a failure without its words."""
        import servicemanager
        import win32evtlogutil

        win32evtlogutil.AddSourceToRegistry(self.name, os.path.abspath(servicemanager.__file__))

    @contextlib.contextmanager
    def _open_service(self, rights: int) -> Iterator[Any]:
        import win32service

        manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_CONNECT)
        try:
            service = win32service.OpenService(manager, self.name, rights)
            try:
                yield service
            finally:
                win32service.CloseServiceHandle(service)
        finally:
            win32service.CloseServiceHandle(manager)


def _interpreter() -> tuple[str, dict[str, str]]:
    """The program that the service manager starts, and what it must find in its environment.

    Of a virtual environment, ``python.exe`` only starts another process, and that one would be a
    stranger to the service manager.
    """
    base = getattr(sys, "_base_executable", sys.executable)
    if base == sys.executable:
        return sys.executable, {}
    return base, {_LAUNCHER_VARIABLE: sys.executable}


def _configure(handle: Any) -> list[str]:
    """What ``CreateService`` has no words for; returns what this Windows does not know."""
    import pywintypes
    import win32service

    restart = win32service.SC_ACTION_RESTART
    failures = {
        "ResetPeriod": RESET_S,
        "RebootMsg": "",
        "Command": "",
        "Actions": [(restart, pause) for pause in RESTART_AFTER_MS],
    }
    unknown = []
    for what, level, value in (
        ("description", win32service.SERVICE_CONFIG_DESCRIPTION, DESCRIPTION),
        ("restart", win32service.SERVICE_CONFIG_FAILURE_ACTIONS, failures),
        ("delayed start", win32service.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, True),
        ("shutdown time", win32service.SERVICE_CONFIG_PRESHUTDOWN_INFO, PRESHUTDOWN_S * 1000),
    ):
        try:
            win32service.ChangeServiceConfig2(handle, level, value)
        except pywintypes.error as error:
            if error.winerror != _UNKNOWN_LEVEL:
                raise
            unknown.append(what)
    return unknown


def _password(account: str) -> str | None:
    """Of a named account, which must have one; typed, or a line of standard input."""
    if account.lower().startswith(_NO_PASSWORD):
        return None
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    password = (
        getpass.getpass(f"Password of {account} (not shown): ")
        if is_terminal
        else (sys.stdin.readline().rstrip("\r\n") if sys.stdin is not None else "")
    )
    if not password:
        raise FixConfigurationError(
            f"There is no password for the account {account}.",
            code="service-account",
            remedy="Run it on a terminal, or give the password on standard input.",
        )
    return password


def _give_rights(service: ServiceOfWindows) -> None:
    """Folders for administrators and the service's account only."""
    for folder in service.writable:
        folder.mkdir(parents=True, exist_ok=True)
        _close_to_others(folder, service.account, "(OI)(CI)M")
    if service.secrets is not None:
        _close_to_others(service.secrets, service.account, "(OI)(CI)R")
    _close_to_others(service.config, service.account, "R")
    for path in service.readable:
        inherited = "(OI)(CI)RX" if path.is_dir() else "R"
        _icacls(path, "/grant", f"{service.account}:{inherited}")


def _close_to_others(path: Path, account: str, right: str) -> None:
    full = "(OI)(CI)F" if path.is_dir() else "F"
    owners = [f"{owner}:{full}" for owner in (_SYSTEM, _ADMINISTRATORS)]
    _icacls(path, "/inheritance:r", "/grant:r", *owners, f"{account}:{right}")


def _icacls(path: Path, *arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 (paths of the settings)
        ["icacls", str(path), *arguments],  # noqa: S607 (of the system)
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise _refused(f"icacls {path}: exit code {done.returncode}")


def _need_administrator() -> None:
    from win32com.shell import shell

    if not shell.IsUserAnAdmin():
        raise _not_administrator()


def _not_administrator() -> FixConfigurationError:
    return FixConfigurationError(
        "Only an administrator can install, remove, start or stop a service.",
        code="service-root",
        remedy="Run it in a terminal opened with: Run as administrator; --print shows what would "
        "be installed.",
    )


def _refused(why: str) -> FixConfigurationError:
    return FixConfigurationError(
        f"The service manager refused ({why}).",
        code="service-refused",
        remedy="Look at: sc.exe query; and at the Application log of Windows.",
    )


@contextlib.contextmanager
def _refusals(besides: int = 0) -> Iterator[None]:
    """Say in the project's words what Windows refused; ``besides``: an error that is none."""
    import pywintypes

    try:
        yield
    except pywintypes.error as error:
        if error.winerror == _DENIED:
            raise _not_administrator() from None
        if error.winerror != besides:
            raise _refused(f"{error.funcname}: {error.strerror} ({error.winerror})") from None
