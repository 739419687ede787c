"""The service manager of this computer, and the protocol of every one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lab_side.settings.config import AgentConfig


class Registration(Protocol):
    """Everything that is handed to the service manager."""

    def text(self) -> str:
        """Return it as words, or as the file that is written."""
        ...


class Backend(Protocol):
    """One service, as the service manager of this system knows it.

    Each method raises FixConfigurationError (``service-root``, ``service-refused``, …) where
    the manager, or the system, says no.
    """

    @property
    def default_user(self) -> str:
        """The account of the agent, unless another is given."""
        ...

    @property
    def log_hint(self) -> str:
        """A sentence for operators: where the reason of an end is found."""
        ...

    def register(
        self, config: AgentConfig, path: Path, user: str, environment: Mapping[str, str]
    ) -> Registration:
        """Return what :meth:`install` would hand over; changes nothing."""
        ...

    def install(
        self, config: AgentConfig, path: Path, user: str, environment: Mapping[str, str]
    ) -> str:
        """Let the agent start with the computer; returns where that is written."""
        ...

    def uninstall(self) -> bool:
        """Stop the service, which drains it, and take it away; whether there was one."""
        ...

    def is_installed(self) -> bool:
        """Return whether there is a service."""
        ...

    def state(self) -> str:
        """``active``, ``activating``, ``deactivating``, ``inactive``, ``failed``; else empty."""
        ...

    def start(self) -> None:
        """Start it, and do not wait for its models."""
        ...

    def stop(self) -> None:
        """Stop it, and wait until it has drained."""
        ...


def backend(name: str) -> Backend:
    """The service of that name, by what this system has."""
    if os.name == "nt":
        from lab_side.service.windows import WindowsService

        return WindowsService(name)
    from lab_side.service.systemd import Systemd

    return Systemd(name)
