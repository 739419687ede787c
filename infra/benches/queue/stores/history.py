"""What a cycle costs on each store with very many ended jobs, to what it costs with few."""

from __future__ import annotations

from infra.benches.harness import Report
from infra.benches.queue.phases import QueueScene
from infra.benches.queue.relay import ended_jobs
from infra.benches.queue.stores.site import queue_site
from infra.benches.queue.workers import mean_ratio, mean_us, steady_rounds, whole, workers_at
from infra.fake_gcs.store import Place

FULL, EMPTY = "full", "empty"


def stores_history(scene: QueueScene) -> Report:
    """Blocks with an empty and with a full history, in turn; another site for each."""
    plan, folder = scene.plan, scene.folder / "stores-history"
    folder.mkdir()
    redis = f"redis://127.0.0.1:{scene.redis.port}/0"
    _fill_fake(scene, f"history-{FULL}")
    with queue_site(folder / "site") as full_site:
        sites = {EMPTY: scene.site.access, FULL: full_site.access}
        places = {}
        for state in (EMPTY, FULL):
            places[f"relay {state}"] = str(folder / state)
            places[f"relay-gcs {state}"] = f"gs://segrelay/history-{state}"
            places[f"relay-redis {state}"] = f"{redis}/history-{state}"
            places[f"relay-site {state}"] = sites[state].write(folder / f"{state}.json")
        with workers_at(places) as workers:
            filled = [workers[f"{kind} {FULL}"] for kind in ("relay", "relay-redis", "relay-site")]
            for worker in filled:
                worker.send({"do": "history", "jobs": plan.history})
            for worker in filled:
                worker.receive()
            for worker in workers.values():
                worker.steady(2)
            timed = steady_rounds(workers, plan.rounds, plan.block, plan.rng("stores history"))
    rows = {}
    for kind in ("relay", "relay-gcs", "relay-redis", "relay-site"):
        few, many = timed[f"{kind} {EMPTY}"], timed[f"{kind} {FULL}"]
        rows[kind] = {
            "cycle_us_few": mean_us(few, whole),
            "cycle_us_full": mean_us(many, whole),
            "cycle_ratio": mean_ratio(many, few, whole),
        }
    return {"stores_history": rows}


def _fill_fake(scene: QueueScene, prefix: str) -> None:
    """The fake is in this program: through its port it would take many minutes."""
    store = scene.fake_gcs.store
    for name, data in ended_jobs(scene.plan.history):
        store.put(Place("segrelay", f"{prefix}/{name}"), data, {})
