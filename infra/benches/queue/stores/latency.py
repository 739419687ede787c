"""From the start of a submit to the job taken by another process, which waits as workers do."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from infra.benches.harness import Report
from infra.benches.queue.phases import QueuePlan, QueueScene, summary_ms
from infra.benches.queue.stores.side_by_side import REDIS_KINDS, places
from infra.benches.queue.workers import STORES, Worker
from infra.servers.json_process import JsonProcess

SPREAD_S: Mapping[str, float] = {"relay-gcs": 2.0, "relay-site": 0.2, "arq": 0.5, "dramatiq": 0.5}
"""Submits are spread over this long, to meet every moment of a pause; over 50 ms where none is."""

POLLED = ("relay-gcs", "arq", "dramatiq")
"""Those without a doorbell: a tenth of the samples is enough for a mean of seconds."""


@dataclass
class Pair:
    """Who submits and who waits, at one queue."""

    kind: str
    submitter: Worker
    waiting: JsonProcess

    def measure(self, rng: random.Random) -> float:
        """Milliseconds of one job."""
        time.sleep(rng.uniform(0, SPREAD_S.get(self.kind, 0.05)))
        start = self.submitter.submit()
        taken: int = self.waiting.receive()
        return (taken - start) / 1e6


def stores_latency(scene: QueueScene) -> Report:
    """Percentiles by kind; a sample of each in turn."""
    plan = scene.plan
    kinds = [*STORES, *(kind for kind in REDIS_KINDS if kind in plan.peers)]
    where = places(scene, "latency")
    counts = {kind: _samples(kind, plan) for kind in kinds}
    rng = plan.rng("stores latency")
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    with contextlib.ExitStack() as stack:
        pairs = {}
        for kind in kinds:
            submitter = stack.enter_context(contextlib.closing(Worker(kind, where[kind])))
            waiting = _waiting(kind, where[kind], counts[kind], plan)
            stack.enter_context(contextlib.closing(waiting))
            pairs[kind] = Pair(kind, submitter, waiting)
        while kinds:
            for kind in rng.sample(kinds, len(kinds)):
                found[kind].append(pairs[kind].measure(rng))
            kinds = [kind for kind in kinds if len(found[kind]) < counts[kind]]
    return {"stores_latency_ms": {kind: summary_ms(values) for kind, values in found.items()}}


def _samples(kind: str, plan: QueuePlan) -> int:
    return plan.poll_samples if kind in POLLED else plan.doorbell_samples


def _waiting(kind: str, place: str, jobs: int, plan: QueuePlan) -> JsonProcess:
    """A process that listens when this returns."""
    if kind in STORES:
        how = {
            "active": plan.active_poll_s,
            "idle": plan.idle_poll_s,
            "doorbell": True,
            "idling": False,
        }
        module = "infra.benches.queue.listener"
        address = place if kind != "relay" else f"file://{place}"
        command = [sys.executable, "-m", module, address, str(jobs), json.dumps(how)]
        listener: JsonProcess = JsonProcess(f"the listener of {kind}", command)
        listener.receive()
        return listener
    worker = Worker(kind, place)
    worker.ask({"do": "wait", "jobs": jobs})
    return worker
