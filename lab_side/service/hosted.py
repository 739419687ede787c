"""The agent without a terminal and without signals: what a service of Windows runs.

Standard output and error are not there, the current folder is the system's, and the agent does not
run in the main thread. What it says goes into its log files; why it ended is reported to the host.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lab_side.service.notify import Supervisor
from lab_side.service.unit import WATCHDOG_MINUTES
from segrelay.errors import SegRelayError
from segrelay.system.private_files import private_files

if TYPE_CHECKING:
    from lab_side.agent.agent import Agent

LOOK_EVERY = 1.0
"""Seconds between two checks of the agent."""


class HostedAgent:
    """One run of the agent; ``report`` gets a sentence for operators why it has failed."""

    def __init__(self, path: Path, supervisor: Supervisor, report: Callable[[str], None]) -> None:
        self._path = path
        self._supervisor = supervisor
        self._report = report
        self._lock = threading.Lock()
        self._agent: Agent | None = None
        self._stops = 0

    def run(self) -> int:
        """Serve the queue until stopped; returns the exit code of ``lab-agent run``."""
        # Only now: Windows starts the clock before, and reading all of it takes seconds.
        from lab_side import cli
        from lab_side.commands.console import EXIT_DEFECT, EXIT_OK
        from lab_side.log import configure_logging
        from lab_side.settings.loading import load_config

        configure_logging("json")
        try:
            config = load_config(self._path)
            with private_files(), cli.end_in_the_log():
                agent = cli.open_agent(config, self._supervisor)
                self._take(agent)
                agent.run()
        except SegRelayError as error:
            self._report(f"{error.message} [{error.code}]\n{error.remedy}")
            return cli.exit_code(error)
        except Exception as error:
            self._report(
                f"Unexpected {type(error).__name__} at {cli.place(error)}; please report this."
            )
            return EXIT_DEFECT
        return EXIT_OK

    def stop(self) -> None:
        """First call: drain. Second call: cancel. From any thread, at any time."""
        with self._lock:
            self._stops += 1
            if self._agent is not None:
                self._agent.stop()

    def _take(self, agent: Agent) -> None:
        with self._lock:
            self._agent = agent
            # A stop that came while the settings were read.
            for _ in range(self._stops):
                agent.stop()


class Watchdog:
    """Ends a host whose agent has hung: systemd does that itself, Windows does not.

    Parameters
    ----------
    on_silence:
        Called in a thread of its own, once.
    limit_s:
        Without a word for so many seconds, the agent hangs.
    """

    def __init__(
        self, on_silence: Callable[[], None], *, limit_s: float = WATCHDOG_MINUTES * 60.0
    ) -> None:
        self._on_silence = on_silence
        self._limit_s = limit_s
        self._heard = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def ready(self) -> None:
        """From now on, silence is a hang."""
        self._heard = time.monotonic()
        self._thread.start()

    def alive(self, status: str) -> None:  # noqa: ARG002 (Windows has no place for it)
        """The loop turns."""
        self._heard = time.monotonic()

    def stopping(self) -> None:
        """The agent drains; it goes on to say that it lives."""
        self._heard = time.monotonic()

    def close(self) -> None:
        """The agent has ended."""
        self._closed.set()

    def is_silent(self) -> bool:
        """Return whether nothing was heard for too long."""
        return time.monotonic() - self._heard > self._limit_s

    def _watch(self) -> None:
        while not self._closed.wait(min(LOOK_EVERY, self._limit_s)):
            if self.is_silent():
                self._on_silence()
                return
