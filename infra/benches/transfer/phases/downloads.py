"""Downloads: noisy images by everybody, images with a black background by us in both ways."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from infra.benches.child import started_workers
from infra.benches.harness import Report
from infra.benches.rounds import interleaved
from infra.benches.transfer.runs import PEERS, Sample, Worker, download, figures
from infra.benches.transfer.scene import TransferScene

NOISY_LINES = ("loopback", "wan10", "wan30")
BLACK_LINES = ("wan30", "thin30")

BLACK_KINDS = ("ours", "ours-pool", "ours-archive")
"""Chosen automatically, and made to."""


def noisy(scene: TransferScene) -> Report:
    """Everybody over every line."""
    found = _measure(scene, ("naive", "session", *scene.plan.peers, "ours"), "noisy", NOISY_LINES)
    return {"downloads": found, **_noisy_headlines(found)}


def black(scene: TransferScene) -> Report:
    """What the choice between pool and archives brings."""
    found = _measure(scene, BLACK_KINDS, "black", BLACK_LINES)
    rows = [line["contenders"] for line in found.values()]
    gains = [row["ours-pool"]["seconds"] / row["ours"]["seconds"] for row in rows]
    return {"black_background": found, "sparse_vs_pool": round(min(gains), 2)}


def _measure(
    scene: TransferScene, kinds: Collection[str], study: str, lines: Collection[str]
) -> Report:
    """Rows of figures by line and contender."""
    with started_workers(Worker, kinds) as workers:
        return {name: _over(scene, workers, name, study) for name in lines}


def _over(scene: TransferScene, workers: Mapping[str, Worker], name: str, study: str) -> Report:
    stored, rng = scene.stored(study), scene.plan.rng(f"{study} {name}")
    with scene.route(name) as route:
        samples = interleaved(
            workers,
            scene.plan.rounds,
            rng,
            lambda kind: download(scene, workers[kind], route, stored),
            seconds=lambda sample: sample.seconds,
        )
        limit = route.limit_s(stored.size_bytes)
    return {
        "bytes": stored.size_bytes,
        "instances": len(stored.instances),
        "limit_s": None if limit is None else round(limit, 4),
        "contenders": {kind: _row(one, samples["ours"], limit) for kind, one in samples.items()},
    }


def _row(samples: list[Sample], ours: list[Sample], limit: float | None) -> Report:
    row, own = figures(samples), figures(ours)
    return {
        **row,
        "to_ours": round(row["seconds"] / own["seconds"], 2),
        "cpu_to_ours": round(_cpu_s(row) / _cpu_s(own), 2),
        "to_limit": None if limit is None else round(row["seconds"] / limit, 3),
    }


def _best_peer(line: Report, figure: str) -> float | None:
    """The smallest ``figure`` of a session and of others' clients; None where there are none."""
    kinds = ("session", *PEERS)
    found = [row[figure] for kind, row in line["contenders"].items() if kind in kinds]
    return min(found, default=None)


def _cpu_s(row: Report) -> float:
    return float(row["client_cpu_s"]) + float(row["server_cpu_s"])


def _noisy_headlines(found: Report) -> Report:
    wan30 = found["wan30"]["contenders"]
    server = [float(line["contenders"]["ours"]["server_cpu_s"]) for line in found.values()]
    return {
        "wan30_vs_naive": wan30["naive"]["to_ours"],
        "wan30_vs_limit": wan30["ours"]["to_limit"],
        "wan30_vs_pyorthanc": wan30.get("pyorthanc", {}).get("to_ours"),
        "wan10_vs_naive": found["wan10"]["contenders"]["naive"]["to_ours"],
        "loopback_vs_naive": found["loopback"]["contenders"]["naive"]["to_ours"],
        "loopback_vs_best_peer": _best_peer(found["loopback"], "to_ours"),
        "loopback_cpu_vs_best_peer": _best_peer(found["loopback"], "cpu_to_ours"),
        "server_cpu_s": max(server),
    }
