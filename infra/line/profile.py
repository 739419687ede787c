"""What a line is like, and the faults that can be ordered on it."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from segrelay.errors import FixConfigurationError

Direction = Literal["up", "down"]
"""From the client to the server; from the server to the client."""

DEFAULT_SEED = 20_261_124


class LineProfile(BaseModel):
    """Delay and bandwidth; the default is a line that adds nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rtt_ms: float = Field(default=0.0, ge=0)
    """The shortest round trip."""
    mbit: float | None = Field(default=None, gt=0)
    """Million bits a second in each direction, shared by all connections; None: no limit."""
    jitter_ms: float = Field(default=0.0, ge=0)
    """A piece comes up to this much later, each way; never before an earlier piece."""
    seed: int = DEFAULT_SEED
    """Of the jitter."""

    @property
    def one_way_s(self) -> float:
        """Half a round trip."""
        return self.rtt_ms / 2e3

    @property
    def bytes_s(self) -> float:
        """Bandwidth; infinite where there is no limit."""
        return float("inf") if self.mbit is None else self.mbit * 1e6 / 8


class FaultKind(StrEnum):
    """How a connection goes wrong."""

    RESET = "reset"
    """Both ends get a TCP RST."""
    CUT = "cut"
    """Both ends get an orderly end, as if the other had closed."""
    STALL = "stall"
    """Nothing more comes in this direction; the connection stays open."""
    SLOW_CLOSE = "slow-close"
    """When the sender closes, the receiver hears of it ``seconds`` later."""
    DRIP = "drip"
    """No more than ``bytes_s`` come through, on this connection."""


class LineFault(BaseModel):
    """One order. It strikes the first ``times`` connections that carry more than ``after``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    after: int = Field(default=0, ge=0)
    """Bytes that each connection may still carry from the order on; the next one is struck."""
    direction: Direction = "down"
    """Whose bytes are counted and, for stall, slow-close and drip, whose suffer."""
    times: int | None = Field(default=1, ge=1)
    """Connections that are struck, each once; None: all."""
    seconds: float = Field(default=1.0, ge=0)
    bytes_s: float = Field(default=100.0, gt=0)


class LineStats(BaseModel):
    """What a line has done so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connections: int
    open: int
    """Connections that neither end has closed yet, or only one."""
    hits: int
    """Connections that a fault has struck."""
    bytes_up: int
    bytes_down: int


def parse_target(target: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` or of a URL.

    Raises
    ------
    FixConfigurationError
        ``line-target``: no port, or not an address of this machine: a line is no open relay.
    """
    try:
        parts = urlsplit(target if "//" in target else f"//{target}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if port is None or not _is_loopback(host):
        raise FixConfigurationError(
            "A line leads to a port on this machine's loopback only.",
            code="line-target",
            remedy="Give the target as 127.0.0.1:PORT.",
        )
    return host, port


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
