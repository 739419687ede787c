"""What all phases need: Orthanc, the studies in it and the lines to it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from infra.benches.transfer.study import StoredStudy, SyntheticStudy, store_study
from infra.benches.transfer.tasks import Server
from infra.line import Line, LineProfile
from infra.servers.orthanc import OrthancServer

LINES = {
    "loopback": None,
    "wan10": LineProfile(rtt_ms=10, mbit=500),
    "wan30": LineProfile(rtt_ms=30, mbit=200),
    "thin30": LineProfile(rtt_ms=30, mbit=50),
    "upload20": LineProfile(rtt_ms=30, mbit=20),
}
"""By name; None: straight to Orthanc, without a proxy."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything."""

    rounds: int
    """Runs of each contender, in a new order each round; of a slow one only the first."""
    instances: int
    """In each of the four series."""
    peers: tuple[str, ...]
    seed: int
    jobs: int = 20
    """Of the sustained run."""
    jobs_alone: int = 3
    """One at a time before it."""
    blast_s: float = 2.0
    """How long the line alone is tried at full bandwidth."""
    lines: Mapping[str, LineProfile | None] = field(default_factory=lambda: dict(LINES))

    def rng(self, what: str) -> random.Random:
        """The phase's own randomness."""
        return random.Random(f"{self.seed} {what}")  # noqa: S311


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


class Scene:
    """A context manager; the studies are made and stored when they are first asked for."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        # Orthanc's default since 1.12.2; older ones deflate each answer for clients that allow it.
        self.orthanc = OrthancServer(http_compression=False)
        self._stored: dict[str, StoredStudy] = {}

    def __enter__(self) -> Scene:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.orthanc.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.orthanc.__exit__(kind, error, trace)

    def synthetic(self, kind: str) -> SyntheticStudy:
        """The images of a kind (see :mod:`infra.benches.transfer.study`)."""
        return SyntheticStudy(kind, instances=self.plan.instances, seed=self.plan.seed)

    def stored(self, kind: str) -> StoredStudy:
        """The same in Orthanc."""
        if kind not in self._stored:
            self._stored[kind] = store_study(self.orthanc, self.synthetic(kind))
        return self._stored[kind]

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
