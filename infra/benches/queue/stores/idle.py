"""What queues in which nothing happens ask their stores for, and what the site's processes use."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.benches.child import Child
from infra.benches.harness import Report
from infra.benches.queue.phases import QueueScene
from infra.benches.queue.stores.access import Access
from infra.benches.queue.stores.side_by_side import REDIS_KINDS
from infra.servers.json_process import JsonProcess
from infra.servers.redis import RedisServer

FEW = 10
"""Idle agents at stores other than the site."""

SETTLE_S = 15.0
"""From the last agent's start to the first count."""

HOUR_S = 3600.0


@dataclass(frozen=True)
class Counted:
    """Something that is counted before and after."""

    count: Callable[[], int]
    agents: int


def stores_idle(scene: QueueScene) -> Report:
    """Requests an hour of one idle agent or worker, and the cores of a site with many agents."""
    plan, folder = scene.plan, scene.folder / "stores-idle"
    folder.mkdir()
    counted: dict[str, Counted] = {}
    with contextlib.ExitStack() as stack:
        site = scene.site
        accesses = site.accesses([f"idle-{number}" for number in range(plan.agents)])
        counted["relay-site"] = Counted(site.requests, plan.agents)
        stack.enter_context(_agents(folder / "site", accesses))
        redis = stack.enter_context(RedisServer())
        addresses = {"relay-redis": redis.address, "relay-gcs": "gs://segrelay/idle-agents"}
        counted["relay-redis"] = Counted(stack.enter_context(redis.watched()), FEW)
        fake = scene.fake_gcs
        counted["relay-gcs"] = Counted(lambda: len(fake.requests), FEW)
        for kind, address in addresses.items():
            few = [Access(address=address, agent=f"idle-{number}") for number in range(FEW)]
            stack.enter_context(_agents(folder / kind, few))
        for kind in REDIS_KINDS:
            if kind in plan.peers:
                counted[kind] = stack.enter_context(_peer(kind))
        time.sleep(min(SETTLE_S, plan.idle_s))
        before = {kind: one.count() for kind, one in counted.items()}
        cpu, start = site.cpu_seconds(), time.monotonic()
        time.sleep(plan.idle_s)
        seconds, cpu = time.monotonic() - start, site.cpu_seconds() - cpu
        asked = {kind: one.count() - before[kind] for kind, one in counted.items()}
    rows: dict[str, Report] = {
        kind: {"requests_per_hour": round(asked[kind] / one.agents * HOUR_S / seconds, 1)}
        for kind, one in counted.items()
    }
    rows["relay-site"] |= {"cores": round(cpu / seconds, 4), "agents": plan.agents}
    return {"stores_idle": rows}


@contextlib.contextmanager
def _agents(folder: Path, accesses: list[Access]) -> Iterator[None]:
    """Idle agents, all in one process, until the block ends."""
    folder.mkdir()
    places = [access.write(folder / f"{access.agent}.json") for access in accesses]
    command = [sys.executable, "-m", "infra.benches.queue.stores.idle_agents", json.dumps(places)]
    with contextlib.closing(JsonProcess("the idle agents", command)) as agents:
        agents.receive()
        yield


@contextlib.contextmanager
def _peer(kind: str) -> Iterator[Counted]:
    """Another queue's own worker at a Redis of its own."""
    module = "infra.benches.queue.peers.idle_worker"
    with RedisServer() as redis:
        address = f"redis://127.0.0.1:{redis.port}/0"
        with (
            contextlib.closing(Child(kind, module, [kind, address], peer=True)) as worker,
            redis.watched() as count,
        ):
            worker.receive()
            yield Counted(count, 1)
