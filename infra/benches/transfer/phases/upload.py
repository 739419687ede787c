"""Uploads of a SEG over a thin line: a plain POST, and ours."""

from __future__ import annotations

import gzip

from infra.benches.child import started_workers
from infra.benches.harness import Report
from infra.benches.rounds import interleaved
from infra.benches.seg import write_seg
from infra.benches.transfer.runs import Worker, figures
from infra.benches.transfer.runs import upload as send
from infra.benches.transfer.scene import TransferScene
from segrelay.orthanc.client import GZIP_LEVEL

KINDS = ("plain-post", "upload", "upload-cold")

LINE = "upload20"

RUNS_PER_ROUND = 3
"""An upload takes a second or two at most."""


def upload(scene: TransferScene) -> Report:
    """Each contender in turn, in a new order every time."""
    path = scene.folder / "seg.dcm"
    write_seg(scene.study("black"), path)
    with started_workers(Worker, KINDS) as workers, scene.route(LINE) as route:
        samples = interleaved(
            KINDS,
            RUNS_PER_ROUND * scene.plan.rounds,
            scene.plan.rng("upload"),
            lambda kind: send(scene, workers[kind], route, path),
        )
    rows = {kind: figures(samples[kind]) for kind in KINDS}
    plain = rows["plain-post"]["seconds"]
    return {
        "upload": {
            "bytes": path.stat().st_size,
            "gzip_bytes": len(gzip.compress(path.read_bytes(), GZIP_LEVEL)),
            "contenders": {
                kind: {**row, "plain_to_this": round(plain / row["seconds"], 2)}
                for kind, row in rows.items()
            },
        },
        "upload20_vs_plain": round(plain / rows["upload"]["seconds"], 2),
    }
