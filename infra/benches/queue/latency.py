"""From the first instruction of a submit to the claim won by another process, in ms.

The site's flushes are in it. The submits come at random moments of the listener's pause.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time
from dataclasses import dataclass

from infra.benches.queue.relay import make_manifest
from infra.servers.json_process import JsonProcess
from segrelay.bucket import open_bucket
from segrelay.queue import SiteQueue


@dataclass(frozen=True, kw_only=True)
class Listening:
    """How the listener waits; the agent's settings."""

    label: str
    samples: int
    active_s: float
    idle_s: float
    doorbell: bool = False
    idling: bool = False
    """As if there had been nothing to do for long."""

    @property
    def spread_s(self) -> float:
        """Submits are spread over this long, to meet every moment of a pause."""
        if self.doorbell:
            return 0.05
        return self.idle_s if self.idling else self.active_s


def measure_latency(address: str, how: Listening, rng: random.Random) -> list[float]:
    """Milliseconds of each sample."""
    arguments = {
        "active": how.active_s,
        "idle": how.idle_s,
        "doorbell": how.doorbell,
        "idling": how.idling,
    }
    module, count = "infra.benches.queue.listener", str(how.samples)
    command = [sys.executable, "-m", module, address, count, json.dumps(arguments)]
    with contextlib.closing(JsonProcess("the listener", command)) as listener:
        site = SiteQueue(open_bucket(address))
        listener.receive()
        return [_one(site, listener, how, rng) for _ in range(how.samples)]


def _one(site: SiteQueue, listener: JsonProcess, how: Listening, rng: random.Random) -> float:
    time.sleep(rng.uniform(0, how.spread_s))
    manifest = make_manifest()
    start = time.monotonic_ns()
    site.submit(manifest)
    claimed: int = listener.receive()
    return (claimed - start) / 1e6
