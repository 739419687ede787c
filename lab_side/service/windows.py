"""The agent as a service of Windows: installs, starts, stops and removes it; by pywin32."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_side.service.scm import DESCRIPTION, PRESHUTDOWN_S, display_name
from lab_side.service.windows_registration import (
    RESTART_AFTER_MS,
    WindowsRegistration,
    registration_of,
)
from lab_side.service.windows_rights import give_rights, need_administrator, password_of, refusals
from lab_side.settings.config import AgentConfig

RESET_S = 24 * 3600
"""A crash after this time without one is a first crash again."""

_SERVICES_KEY = r"SYSTEM\CurrentControlSet\Services"
_POLL = 0.2
_NO_SERVICE, _RUNS_ALREADY, _NOT_ACTIVE, _IS_DELETED = 1060, 1056, 1062, 1072
_UNKNOWN_LEVEL, _NEVER_STARTED = 124, 1077


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
        """A sentence for operators: where the reason of an end is found."""
        return "Its log: lab-agent logs; why it did not start: the Application log of Windows"

    @property
    def _display_name(self) -> str:
        return display_name(self.name)

    def register(
        self, config: AgentConfig, path: Path, user: str, environment: Mapping[str, str]
    ) -> WindowsRegistration:
        """Describe the service for these settings; changes nothing."""
        return registration_of(self.name, config, path, user, environment)

    def install(
        self, config: AgentConfig, path: Path, user: str, environment: Mapping[str, str]
    ) -> str:
        """Make the service, or bring it up to date, and give its account what it needs.

        Raises
        ------
        FixConfigurationError
            ``service-root``, ``service-refused``, ``service-account``.
        """
        need_administrator()
        service = self.register(config, path, user, environment)
        with refusals():
            unknown = self._write_service(service)
            self._write_environment(service.environment)
            self._add_event_source()
        # Only now: Windows knows the account of a service once there is the service.
        give_rights(service)
        return f"{self.name}, without {', '.join(unknown)}: unknown here" if unknown else self.name

    def uninstall(self) -> bool:
        """Stop the service, which drains it, and take it away; whether there was one."""
        import win32evtlogutil
        import win32service

        need_administrator()
        if not self.is_installed():
            return False
        self.stop()
        with refusals(), self._open_service(win32service.SERVICE_ALL_ACCESS) as service:
            win32service.DeleteService(service)
        with refusals():
            win32evtlogutil.RemoveSourceFromRegistry(self.name)
        return True

    def is_installed(self) -> bool:
        """Return whether there is a service."""
        import pywintypes
        import win32service

        try:
            with self._open_service(win32service.SERVICE_QUERY_STATUS):
                return True
        except pywintypes.error as error:
            # Marked for removal, it stays until the last program lets go of it.
            return error.winerror not in (_NO_SERVICE, _IS_DELETED)

    def state(self) -> str:
        """Return ``active``, ``inactive``, … as ``systemctl is-active``; empty: unknown."""
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
            refusals(besides=_RUNS_ALREADY),
            self._open_service(win32service.SERVICE_START) as service,
        ):
            win32service.StartService(service, None)

    def stop(self) -> None:
        """Stop it, and wait until it has drained."""
        import win32service

        rights = win32service.SERVICE_STOP | win32service.SERVICE_QUERY_STATUS
        with refusals(besides=_NOT_ACTIVE), self._open_service(rights) as service:
            win32service.ControlService(service, win32service.SERVICE_CONTROL_STOP)
        while self.state() in ("active", "deactivating"):
            time.sleep(_POLL)

    def _write_service(self, service: WindowsRegistration) -> list[str]:
        """Returns what of it this Windows does not know."""
        import win32service

        password = password_of(service.account)
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


def _configure(handle: Any) -> list[str]:
    """Configure what ``CreateService`` cannot; returns what this Windows does not know."""
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
