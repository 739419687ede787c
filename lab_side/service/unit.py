"""The unit file of systemd: how the agent is started, watched, stopped and confined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

WATCHDOG_MINUTES = 10
"""The loop may load models for some minutes; others take a silent agent's jobs after two."""

START_MINUTES = 15
"""Until the models are loaded."""

END_SECONDS = 120
"""After the drain's limit: the stages end and the worker is killed."""

_HOMES = ("/home", "/root", "/run/user")

TEMPLATE = """\
# Written by lab-agent service install; run that again after a change of the settings.
[Unit]
Description=SegRelay agent: MRI segmentation on this computer's GPU
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=900
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
User={user}
{credentials}
# A wrong setting (2, 78) is not mended by starting again.
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2 78
TimeoutStartSec={start_minutes}min
WatchdogSec={watchdog_minutes}min
# The first signal drains; only the agent gets it, and ends its worker itself.
KillMode=mixed
TimeoutStopSec={stop_seconds}

# The GPU: no PrivateDevices.
DevicePolicy=closed
DeviceAllow=char-nvidia rw
DeviceAllow=char-nvidia-frontend rw
DeviceAllow=char-nvidia-uvm rw
DeviceAllow=char-nvidia-caps rw
DeviceAllow=char-nvidiactl rw
DeviceAllow=char-drm rw
DeviceAllow=char-kfd rw

# What it may write.
ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome={protect_home}
PrivateTmp=yes
UMask=0077

# Not ProtectProc=invisible: the agent must see whether the process of an earlier life still runs.
# Not ProcSubset=pid: when that process began is counted from /proc/stat.
# Not MemoryDenyWriteExecute: CUDA compiles kernels.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
LimitCORE=0

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Describes one installation."""

    command: Sequence[str]
    """The program and its arguments, up to ``--config``."""
    config: Path
    user: str
    writable: Sequence[Path]
    """Work folder, and the queue where it is a directory."""
    readable: Sequence[Path] = ()
    """What else must be seen: weights, profiles, certificates."""
    credentials: Mapping[str, Path] = field(default_factory=dict)
    """Files that systemd reads as root and gives to the agent alone, by name."""
    google_key: str = ""
    """Which of them is the key of the service account."""
    drain_minutes: float

    def text(self) -> str:
        """The unit's file as text."""
        credentials = {"agent.toml": self.config, **self.credentials}
        return TEMPLATE.format(
            command=" ".join(self._words()),
            user=self.user,
            credentials="\n".join(
                f"LoadCredential={name}:{_path(path)}" for name, path in credentials.items()
            ),
            start_minutes=START_MINUTES,
            watchdog_minutes=WATCHDOG_MINUTES,
            stop_seconds=round(self.drain_minutes * 60) + END_SECONDS,
            writable=" ".join(_quoted(str(path)) for path in self.writable),
            protect_home="read-only" if self._needs_homes() else "yes",
        )

    def _words(self) -> Iterator[str]:
        if self.google_key:
            key = f"${{CREDENTIALS_DIRECTORY}}/{self.google_key}"
            yield from ("/usr/bin/env", f'"GOOGLE_APPLICATION_CREDENTIALS={key}"')
        for word in self.command:
            yield _quoted(word.replace("$", "$$"))
        yield from ("--config", "${CREDENTIALS_DIRECTORY}/agent.toml", "--log", "json", "run")

    def _needs_homes(self) -> bool:
        paths = [Path(self.command[0]), *self.writable, *self.readable]
        return any(path.is_relative_to(home) for path in paths for home in _HOMES)


def _quoted(word: str) -> str:
    """A word of a unit file (``systemd.syntax(7)``)."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(c in word for c in " \t\"'\\;") else escaped


def _path(path: Path) -> str:
    return str(path).replace("%", "%%")
