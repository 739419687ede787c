"""Messages to systemd: the agent is ready, lives, stops (``sd_notify(3)``)."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Protocol

VARIABLE = "NOTIFY_SOCKET"


class Supervisor(Protocol):
    """The service manager that watches a running agent."""

    def ready(self) -> None:
        """The agent listens for jobs."""
        ...

    def alive(self, status: str) -> None:
        """The loop turns and the heartbeat is well; ``status`` is for operators."""
        ...

    def stopping(self) -> None:
        """The agent drains."""
        ...


class ServiceManager:
    """The socket of the service manager; says nothing where there is none."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        address = (os.environ if environment is None else environment).get(VARIABLE, "")
        # An abstract address begins with a null, which the environment cannot hold.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def ready(self) -> None:
        """The agent listens for jobs."""
        self._send("READY=1\nSTATUS=Listening for jobs")

    def alive(self, status: str) -> None:
        """The loop turns and the heartbeat is well; ``status`` is for operators."""
        self._send(f"WATCHDOG=1\nSTATUS={' '.join(status.split())}")

    def stopping(self) -> None:
        """The agent drains."""
        self._send("STOPPING=1\nSTATUS=Draining")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # A manager that does not hear must not cost a job.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line,
        ):
            line.setblocking(False)
            line.connect(self._address)
            line.sendall(text.encode())
