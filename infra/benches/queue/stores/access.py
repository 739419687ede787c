"""What leads a process of the bench to a store: an address, or that of a site with a token.

A site's is more than an address, and secret: so it is handed over in a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from segrelay.bucket import Bucket, open_bucket


@dataclass(frozen=True, kw_only=True)
class Access:
    """How agent and site reach a store."""

    address: str
    """As an agent's configuration names it."""
    agent: str = "lab-1"
    token: str = ""
    """Of that agent, at a site."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of the site's own programs, and of its agents."""

    def of(self, agent: str, token: str) -> Access:
        """Another agent's."""
        return replace(self, agent=agent, token=token)

    def write(self, path: Path) -> str:
        """Write it to a new file that nobody else may read; returns its path."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(file, "w") as stream:
            json.dump(asdict(self), stream)
        return str(path)

    def agents_bucket(self) -> Bucket:
        """Open the queue as its agent does."""
        os.environ.update(self.environment)
        return open_bucket(self.address, token=lambda: self.token)

    def sites_bucket(self) -> Bucket:
        """Open the queue as the site does: its own database, where it keeps the queue."""
        if not self.token:
            return self.agents_bucket()
        os.environ.update(self.environment)
        import django

        django.setup()
        from gcp_side.labseg.queue.store import DatabaseBucket

        return DatabaseBucket()


def read_access(place: str) -> Access:
    """Read what :meth:`Access.write` wrote; any other text is an address."""
    if place.endswith(".json"):
        return Access(**json.loads(Path(place).read_text()))
    return Access(address=place)
