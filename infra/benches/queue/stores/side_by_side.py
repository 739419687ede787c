"""Whole cycles on the four stores, of the queues over Redis and of jqueue, in the same rounds."""

from __future__ import annotations

from collections.abc import Mapping

from infra.benches.harness import Report
from infra.benches.queue.contender import Timing
from infra.benches.queue.phases import QueueScene
from infra.benches.queue.workers import (
    STORES,
    mean_ratio,
    mean_us,
    steady_rounds,
    whole,
    workers_at,
)
from infra.benches.rounds import interleaved

REDIS_KINDS = ("rq", "saq", "arq", "dramatiq", "huey-redis")

JQUEUE_KINDS = ("jqueue", "jqueue-flushed", "jqueue-gcs")

BACKLOG_KINDS = ("relay", "jqueue", "jqueue-flushed")


def places(scene: QueueScene, name: str) -> dict[str, str]:
    """Where everybody who takes part is, in a part of the servers for this ``name``."""
    redis, folder = scene.redis, scene.folder / name
    folder.mkdir()
    address = f"redis://127.0.0.1:{redis.port}"
    # Entered here: the workers inherit the variable that leads to it.
    _ = scene.fake_gcs
    found = {
        "relay": str(folder / "relay"),
        "relay-gcs": f"gs://segrelay/{name}",
        "relay-site": scene.site.access.write(folder / "site.json"),
        "relay-redis": f"{address}/0/{name}",
        "jqueue": str(folder / "jqueue"),
        "jqueue-flushed": str(folder / "jqueue-flushed"),
        "jqueue-gcs": f"gs://segrelay/{name}-jqueue",
    }
    found |= {kind: f"{address}/{number}" for number, kind in enumerate(REDIS_KINDS, start=1)}
    wanted = (*STORES, *scene.plan.peers)
    return {kind: place for kind, place in found.items() if kind in wanted}


def stores(scene: QueueScene) -> Report:
    """Submit, claim and finish; ``cycle_ratio``: theirs to ours over Redis."""
    plan = scene.plan
    with workers_at(places(scene, "stores")) as workers:
        for worker in workers.values():
            worker.steady(2)
        timed = steady_rounds(workers, plan.rounds, plan.block, plan.rng("stores"))
    rows = {}
    for kind, rounds in timed.items():
        rows[kind] = {
            "cycle_us": mean_us(rounds, whole),
            "ratio_to_redis": mean_ratio(rounds, timed["relay-redis"], whole),
            "ratio_to_directory": mean_ratio(rounds, timed["relay"], whole),
        }
    return {"stores": rows, "site_database": "postgresql" if scene.site.is_postgresql else "sqlite"}


def jqueue_backlog(scene: QueueScene) -> Report:
    """Measure a directory while jobs wait: submits first, then the claim and finish of each job."""
    plan = scene.plan
    kinds = [kind for kind in BACKLOG_KINDS if kind == "relay" or kind in plan.peers]

    def measure(kind: str) -> list[Timing]:
        place = {kind: str(scene.new_folder() / "queue")}
        with workers_at(place) as workers:
            return workers[kind].backlog(plan.backlog)

    timed = interleaved(kinds, max(1, plan.rounds // 3), plan.rng("jqueue"), measure)
    rows = {
        kind: {
            "cycle_us": mean_us(rounds, whole),
            "ratio_to_directory": mean_ratio(rounds, timed["relay"], whole),
        }
        for kind, rounds in timed.items()
    }
    return {"stores_backlog": rows}


def best_durable(rows: Mapping[str, Report], kinds: tuple[str, ...]) -> tuple[str, float] | None:
    """The fastest of these kinds and its cycle time to ours over Redis; None without any."""
    found = {kind: float(rows[kind]["ratio_to_redis"]) for kind in kinds if kind in rows}
    return min(found.items(), key=lambda item: item[1], default=None)
