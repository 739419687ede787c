"""A lab whose agents are processes of Windows; queue, Orthanc and the test are on this side."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import IO

from segrelay.queue.view import read_heartbeat
from tests.support.lab.fast_lab import FastLab
from tests.support.lab.windows import Windows, address_in_windows, in_windows
from tests.support.launcher import Launch


@dataclass(kw_only=True)
class WindowsLab(FastLab):
    """As :class:`FastLab`, under wine."""

    windows: Windows
    known: set[str] = field(default_factory=set)
    """Instances of agents that were there before the last one was started."""

    def start(self, agent: str = "lab-1", launch: Launch | None = None) -> None:
        """Start an agent's next life."""
        seen = read_heartbeat(self.bucket, agent)
        if seen is not None:
            self.known.add(seen.heartbeat.identity.instance)
        super().start(agent, launch)

    def open_process(
        self, agent: str, launch: Launch, command: str, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start ``lab-agent`` as this agent, with one command."""
        settings = ("--config", in_windows(self._settings(agent)), "--log", "json", command)
        arguments = ("-m", "tests.support.launcher", launch.model_dump_json(), *settings)
        return self.windows.open(arguments, self._environment(agent), log)

    def is_serving(self, agent: str) -> bool:
        """Whether this life has come so far as to look for jobs; its number is one of Windows."""
        seen = read_heartbeat(self.bucket, agent)
        return (
            seen is not None
            and seen.heartbeat.identity.instance not in self.known
            and seen.heartbeat.state not in ("starting", "stopped")
        )

    def _environment(self, agent: str) -> dict[str, str]:
        return {
            **super()._environment(agent),
            "SEGRELAY_BUCKET": address_in_windows(self.folder / "queue"),
            "SEGRELAY_WORK_DIR": in_windows(self.folder / "work"),
        }
