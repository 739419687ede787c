"""From the first instruction of a submit to the claim won by another process, in ms.

The site's flushes are in it. The submits come at random moments of the listener's pause.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass

from infra.benches.queue.relay import make_manifest
from infra.packages.debian import repository_root
from infra.servers.processes import stop_process
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
    listener = subprocess.Popen(
        [sys.executable, "-m", module, address, count, json.dumps(arguments)],
        stdout=subprocess.PIPE,
        cwd=repository_root(),
    )
    try:
        site = SiteQueue(open_bucket(address))
        _next_line(listener)
        return [_one(site, listener, how, rng) for _ in range(how.samples)]
    finally:
        if listener.stdout is not None:
            listener.stdout.close()
        stop_process(listener)


def _one(
    site: SiteQueue, listener: subprocess.Popen[bytes], how: Listening, rng: random.Random
) -> float:
    time.sleep(rng.uniform(0, how.spread_s))
    manifest = make_manifest()
    start = time.monotonic_ns()
    site.submit(manifest)
    return (int(_next_line(listener)) - start) / 1e6


def _next_line(listener: subprocess.Popen[bytes]) -> bytes:
    line = b"" if listener.stdout is None else listener.stdout.readline()
    if not line:
        raise RuntimeError("the listener ended; its message is above")
    return line
