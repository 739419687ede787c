"""The measurements of the queue bench, one function each."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean, median
from unittest.mock import patch

from infra.benches.harness import Plan, Report, Scene
from infra.benches.queue.contender import Timing
from infra.benches.queue.latency import Listening, measure_latency
from infra.benches.queue.lower_bounds import LOWER_BOUNDS
from infra.benches.queue.stores.site import QueueSite, queue_site
from infra.benches.queue.workers import (
    Worker,
    claim,
    cycle,
    mean_ratio,
    mean_us,
    steady_rounds,
    workers_in,
)
from infra.benches.rounds import interleaved, percentile
from infra.fake_gcs import FakeGcs
from infra.servers.redis import RedisServer

GROWTH_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Where in a run of N jobs the claims are timed: their mean is that of the run."""


@dataclass(frozen=True, kw_only=True)
class QueuePlan(Plan):
    """How much of everything."""

    block: int
    """Jobs in a block."""
    run: int
    """Jobs in the run beside the naive way."""
    history: int
    """Finished jobs in the full history."""
    backlog: int
    """Jobs that wait when the clock starts."""
    doorbell_samples: int
    poll_samples: int
    idle_samples: int
    active_poll_s: float
    idle_poll_s: float
    file_peers: tuple[str, ...] = ()
    """Those of the peers that keep their queue in files."""
    agents: int = 50
    """Idle agents at the site."""
    idle_s: float = 100.0
    """For how long they are watched."""


class QueueScene(Scene[QueuePlan]):
    """The folder of a run, and its servers, each started when it is first asked for."""

    @functools.cached_property
    def redis(self) -> RedisServer:
        """A Redis that flushes each change before it acknowledges it."""
        return self.enter_context(RedisServer())

    @functools.cached_property
    def fake_gcs(self) -> FakeGcs:
        """The strict fake of the cloud bucket; this program's clients are led to it."""
        return self.enter_context(_fake_gcs())

    @functools.cached_property
    def site(self) -> QueueSite:
        """A site that keeps the queue."""
        return self.enter_context(queue_site(self.folder / "site"))


def side_by_side(scene: QueueScene) -> Report:
    """Claims and whole cycles of everybody, without history; ``cycle_ratio``: theirs to ours.

    The lower bounds take part in the same rounds: they have a cycle and no claim.
    """
    plan, kinds = scene.plan, ["relay", "naive", *scene.plan.file_peers, *LOWER_BOUNDS]
    with workers_in(scene.folder / "side-by-side", kinds) as workers:
        for worker in workers.values():
            worker.steady(2)
        timed = steady_rounds(workers, plan.rounds, plan.block, plan.rng("side by side"))
    rows = {
        kind: {
            "claim_us": None if kind in LOWER_BOUNDS else mean_us(rounds, claim),
            "cycle_us": mean_us(rounds, cycle),
            "cycle_ratio": mean_ratio(rounds, timed["relay"], cycle),
        }
        for kind, rounds in timed.items()
    }
    return {"side_by_side": rows}


def growth(scene: QueueScene) -> Report:
    """Claims beside the naive way, along a run of N jobs whose finished ones stay."""
    plan, rng, filled = scene.plan, scene.plan.rng("growth"), 0
    steps = []
    with workers_in(scene.folder / "growth", ["relay", "naive"]) as workers:
        for share in GROWTH_SHARES:
            finished = round(plan.run * share)
            for worker in workers.values():
                worker.fill_history(finished - filled)
            timed = steady_rounds(workers, max(1, plan.rounds // 2), plan.block // 2 or 1, rng)
            filled = finished
            claims = {f"{kind}_claim_us": mean_us(timed[kind], claim) for kind in timed}
            steps.append({"finished": finished, **claims})
    return {"growth": steps}


def history(scene: QueueScene) -> Report:
    """Everybody with an empty and with a full history, in turn; ratios: full to empty."""
    plan, kinds, folder = scene.plan, ["relay", *scene.plan.file_peers], scene.folder / "history"
    with workers_in(folder / "empty", kinds) as empty, workers_in(folder / "full", kinds) as full:
        for worker in full.values():
            worker.fill_history(plan.history)
        workers = {f"{kind} 0": worker for kind, worker in empty.items()}
        workers |= {f"{kind} 1": worker for kind, worker in full.items()}
        for worker in workers.values():
            worker.steady(2)
        timed = steady_rounds(workers, plan.rounds, plan.block, plan.rng("history"))
    rows = {}
    for kind in kinds:
        none, all_ = timed[f"{kind} 0"], timed[f"{kind} 1"]
        rows[kind] = {
            "claim_us_empty": mean_us(none, claim),
            "claim_us_full": mean_us(all_, claim),
            "claim_ratio": mean_ratio(all_, none, claim),
            "cycle_us_full": mean_us(all_, cycle),
            "cycle_ratio": mean_ratio(all_, none, cycle),
            "cycle_ratio_to_relay": mean_ratio(all_, timed["relay 1"], cycle),
        }
    with workers_in(scene.folder / "naive-history", ["naive"]) as workers:
        workers["naive"].fill_history(plan.history)
        # Few: they take seconds.
        naive = mean_us([workers["naive"].steady(1) for _ in range(3)], claim)
    return {"history": rows, "naive_claim_us_full_history": naive}


def backlog(scene: QueueScene) -> Report:
    """Microseconds a claim when all jobs wait at the start."""
    plan, kinds = scene.plan, ["relay", "relay-one-look", "naive"]

    def measure(kind: str) -> list[Timing]:
        with workers_in(scene.new_folder(), [kind]) as workers:
            return workers[kind].backlog(plan.backlog)

    timed = interleaved(kinds, max(1, plan.rounds // 2), plan.rng("backlog"), measure)
    return {"backlog_claim_us": {kind: mean_us(timed[kind], claim) for kind in kinds}}


def latency(scene: QueueScene) -> Report:
    """Claim latency: in a directory with change events and by scan, and over the fake bucket.

    The last three are mostly waiting, so they run at once.
    """
    plan = scene.plan
    active, idle, polls = plan.active_poll_s, plan.idle_poll_s, plan.poll_samples

    def measure(address: str, how: Listening) -> Report:
        return summary_ms(measure_latency(address, how, plan.rng(how.label)))

    rings = Listening(
        label="doorbell",
        samples=plan.doorbell_samples,
        active_s=active,
        idle_s=active,
        doorbell=True,
    )
    found = {rings.label: measure((scene.folder / "doorbell").as_uri(), rings)}
    polled = {
        (scene.folder / "scan").as_uri(): Listening(
            label="scan", samples=polls, active_s=active, idle_s=active
        ),
        "gs://segrelay/active": Listening(
            label="gcs_active", samples=polls, active_s=active, idle_s=idle
        ),
        "gs://segrelay/idle": Listening(
            label="gcs_idle", samples=plan.idle_samples, active_s=active, idle_s=idle, idling=True
        ),
    }
    with _fake_gcs(), ThreadPoolExecutor(len(polled)) as pool:
        labels = [how.label for how in polled.values()]
        found |= zip(labels, pool.map(measure, polled.keys(), polled.values()), strict=True)
    return {"latency_ms": found}


def cloud(scene: QueueScene) -> Report:
    """Claims over the real client and the strict fake; its requests, counted."""
    plan = scene.plan
    with (
        _fake_gcs() as fake,
        contextlib.closing(Worker("relay-gcs", "gs://segrelay/claims")) as worker,
    ):
        worker.steady(2)
        rounds = [worker.steady(plan.block) for _ in range(plan.rounds)]
        fake.forget_requests()
        worker.steady(plan.block)
        requests = len(fake.requests) / plan.block
    figures = {"claim_us": mean_us(rounds, claim), "cycle_us": mean_us(rounds, cycle)}
    return {"gcs_fake": {**figures, "requests_per_job": round(requests, 2)}}


@contextlib.contextmanager
def _fake_gcs() -> Iterator[FakeGcs]:
    with FakeGcs() as fake, patch.dict(os.environ, STORAGE_EMULATOR_HOST=fake.url):
        yield fake


def summary_ms(latencies: Sequence[float]) -> Report:
    """What a report says of latencies in milliseconds."""
    return {
        "samples": len(latencies),
        "mean_ms": round(fmean(latencies), 2),
        "p50_ms": round(median(latencies), 2),
        "p99_ms": round(percentile(latencies, 0.99), 2),
        "max_ms": round(max(latencies), 2),
    }
