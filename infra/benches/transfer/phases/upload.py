"""Uploads of a SEG over a thin line: a plain POST, and ours."""

from __future__ import annotations

import gzip

from infra.benches.transfer.runs import Document, Sample, figures
from infra.benches.transfer.runs import upload as send
from infra.benches.transfer.scene import Scene
from infra.benches.transfer.seg import write_seg
from infra.benches.transfer.workers import started_workers
from segrelay.orthanc.client import GZIP_LEVEL

KINDS = ("plain-post", "upload", "upload-cold")

LINE = "upload20"

RUNS_PER_ROUND = 3
"""An upload takes a second or two at most."""


def upload(scene: Scene) -> Document:
    """Each contender in turn, in a new order every time."""
    path = scene.folder / "seg.dcm"
    write_seg(scene.synthetic("black"), path)
    rng = scene.plan.rng("upload")
    samples: dict[str, list[Sample]] = {kind: [] for kind in KINDS}
    with started_workers(KINDS) as workers, scene.route(LINE) as route:
        for _ in range(RUNS_PER_ROUND * scene.plan.rounds):
            for kind in rng.sample(KINDS, len(KINDS)):
                samples[kind].append(send(scene, workers[kind], route, path))
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
