"""Downloads: noisy images by everybody, images with a black background by us in both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.benches.transfer.runs import Document, Sample, figures, side_by_side
from infra.benches.transfer.scene import Scene
from infra.benches.transfer.workers import Worker, started_workers

NOISY_LINES = ("loopback", "wan10", "wan30")
BLACK_LINES = ("wan30", "thin30")

BLACK_KINDS = ("ours", "ours-pool", "ours-archive")
"""Chosen automatically, and made to."""


def noisy(scene: Scene) -> Document:
    """Everybody over every line."""
    with started_workers(("naive", "session", *scene.plan.peers, "ours")) as workers:
        found = {name: _over(scene, workers, name, "noisy") for name in NOISY_LINES}
    return {"downloads": found, **_noisy_headlines(found)}


def black(scene: Scene) -> Document:
    """What the choice between pool and archives brings."""
    with started_workers(BLACK_KINDS) as workers:
        found = {name: _over(scene, workers, name, "black") for name in BLACK_LINES}
    gains = [seconds(found[name], "ours-pool") / seconds(found[name], "ours") for name in found]
    return {"black_background": found, "sparse_vs_pool": round(min(gains), 2)}


def seconds(line: Mapping[str, Any], kind: str) -> float:
    """What a contender took over a line."""
    return float(line["contenders"][kind]["seconds"])


def _over(scene: Scene, workers: Mapping[str, Worker], name: str, study: str) -> dict[str, Any]:
    stored = scene.stored(study)
    with scene.route(name) as route:
        samples = side_by_side(scene, workers, route, stored, label=f"{study} {name}")
        limit = route.limit_s(stored.size_bytes)
    return {
        "bytes": stored.size_bytes,
        "instances": len(stored.instances),
        "limit_s": None if limit is None else round(limit, 4),
        "contenders": {kind: _row(samples, kind, limit) for kind in workers},
    }


def _row(samples: Mapping[str, list[Sample]], kind: str, limit: float | None) -> Document:
    row, ours = figures(samples[kind]), figures(samples["ours"])
    return {
        **row,
        "to_ours": round(row["seconds"] / ours["seconds"], 2),
        "to_limit": None if limit is None else round(row["seconds"] / limit, 3),
    }


def _noisy_headlines(found: Mapping[str, Any]) -> Document:
    wan30 = found["wan30"]["contenders"]
    server = [float(line["contenders"]["ours"]["server_cpu_s"]) for line in found.values()]
    return {
        "wan30_vs_naive": wan30["naive"]["to_ours"],
        "wan30_vs_limit": wan30["ours"]["to_limit"],
        "wan30_vs_pyorthanc": wan30.get("pyorthanc", {}).get("to_ours"),
        "wan10_vs_naive": found["wan10"]["contenders"]["naive"]["to_ours"],
        "loopback_vs_naive": found["loopback"]["contenders"]["naive"]["to_ours"],
        "server_cpu_s": max(server),
    }
