"""What all phases need: Orthanc, the studies in it and the lines to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from infra.benches.harness import Plan, Report
from infra.benches.orthanc import OrthancScene
from infra.benches.study import SyntheticStudy
from infra.benches.transfer.tasks import Server
from infra.line import Line, LineProfile

LINES = {
    "loopback": None,
    "wan10": LineProfile(rtt_ms=10, mbit=500),
    "wan30": LineProfile(rtt_ms=30, mbit=200),
    "thin30": LineProfile(rtt_ms=30, mbit=50),
    "upload20": LineProfile(rtt_ms=30, mbit=20),
}
"""By name; None: straight to Orthanc, without a proxy."""


@dataclass(frozen=True, kw_only=True)
class TransferPlan(Plan):
    """How much of everything."""

    instances: int
    """In each of the four series."""
    jobs: int = 20
    """Of the sustained run."""
    jobs_alone: int = 3
    """One at a time before it."""
    blast_s: float = 2.0
    """How long the line alone is tried at full bandwidth."""
    lines: Mapping[str, LineProfile | None] = field(default_factory=lambda: dict(LINES))

    def as_json(self) -> Report:
        """Rounds, slices and lines."""
        lines = {name: line and line.model_dump() for name, line in self.lines.items()}
        return {"rounds": self.rounds, "instances": self.instances, "lines": lines}


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route to Orthanc, over a line or straight."""

    server: Server
    profile: LineProfile | None
    pid: int | None
    """The line's process."""

    def limit_s(self, size_bytes: int) -> float | None:
        """Handshake, one request, and the bytes at full bandwidth; None where there is no line."""
        if self.profile is None:
            return None
        return size_bytes / self.profile.bytes_s + 2 * self.profile.rtt_ms / 1e3


class TransferScene(OrthancScene[TransferPlan]):
    """Orthanc, and lines to it."""

    def study(self, kind: str) -> SyntheticStudy:
        """The images of a kind (see :mod:`infra.benches.study`)."""
        return SyntheticStudy(kind, instances=self.plan.instances, seed=self.plan.seed)

    @contextlib.contextmanager
    def route(self, name: str) -> Iterator[Route]:
        """The line of that name, open for the block."""
        profile = self.plan.lines[name]
        if profile is None:
            yield Route(server=self._server(self.orthanc.url), profile=None, pid=None)
            return
        with Line(self.orthanc.url, profile, own_process=True) as line:
            yield Route(server=self._server(line.url), profile=profile, pid=line.pid)

    def _server(self, url: str) -> Server:
        return {"url": url, "user": self.orthanc.user, "password": self.orthanc.password}
