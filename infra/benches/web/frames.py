"""Phase: the frames endpoint, for a SEG that the site has not seen, and once more."""

from __future__ import annotations

import base64
from io import BytesIO
from statistics import median

import numpy as np
import pydicom
from PIL import Image

from infra.benches.harness import Report
from infra.benches.rounds import ratio, timed
from infra.benches.web.reading import OTHERS
from infra.benches.web.scene import WebScene
from infra.servers.site_and_agent import DemoServers

OURS = ("ours-cold", "ours-cached")


def frames(scene: WebScene) -> Report:
    """Each contender in turn, in a new order every round; every round has a SEG of its own.

    Raises
    ------
    RuntimeError
        A contender found other voxels.
    """
    rng = scene.plan.rng("frames")
    seconds: dict[str, list[float]] = {kind: [] for kind in (*OURS, *OTHERS)}
    sizes: dict[str, int] = {}
    with scene.site() as site:
        # The first round is not counted: everything is imported and connected then.
        for round_ in range(scene.plan.rounds + 1):
            seg_id = scene.store_seg("brats", "every-slice", f"frames-{round_}")
            count, voxels, merged = _truth(scene, seg_id)
            for kind in rng.sample(["ours", *OTHERS], 1 + len(OTHERS)):
                if kind == "ours":
                    times = _ours(site, seg_id, merged)
                else:
                    times, sizes[kind] = _other(scene, kind, seg_id, count, voxels)
                if round_:
                    for name, value in times.items():
                        seconds[name].append(value)
    cold = seconds["ours-cold"]
    rows = {
        kind: {
            "ms": round(1000 * median(times), 1),
            "to_ours_cold": round(ratio(times, cold), 2),
            "answer_kib": round(sizes[kind] / 1024, 1) if sizes.get(kind) else None,
        }
        for kind, times in seconds.items()
    }
    return {
        "frames": {"frames": count, "contenders": rows},
        "frames_cold_vs_calls": round(ratio(seconds["calls"], cold), 1),
        "frames_cached_ms": rows["ours-cached"]["ms"],
    }


def _ours(site: DemoServers, seg_id: str, merged: int) -> dict[str, float]:
    path = f"instances/{seg_id}/frames/"
    cold, first = timed(lambda: site.get(path))
    cached, second = timed(lambda: site.get(path))
    found = sum(_voxels(frame["mask_base64"]) for frame in first["frames"])
    if found != merged or second != first:
        raise RuntimeError(f"the site's frames have {found} voxels, not {merged}")
    return {"ours-cold": cold, "ours-cached": cached}


def _other(
    scene: WebScene, kind: str, seg_id: str, count: int, voxels: int
) -> tuple[dict[str, float], int]:
    took, (found, size) = timed(lambda: OTHERS[kind](scene.orthanc, seg_id, count))
    if found not in (voxels, count):
        raise RuntimeError(f"{kind} found {found}: not {voxels} voxels in {count} frames")
    return {kind: took}, size


def _truth(scene: WebScene, seg_id: str) -> tuple[int, int, int]:
    """Number of frames; voxels in them; voxels of the union of the segments."""
    with scene.orthanc.session() as session:
        data = session.get(f"{scene.orthanc.url}/instances/{seg_id}/file").content
    seg = pydicom.dcmread(BytesIO(data))
    pixels = seg.pixel_array
    # The first segment holds the others.
    outer = [
        group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
        for group in seg.PerFrameFunctionalGroupsSequence
    ]
    return len(pixels), int(np.count_nonzero(pixels)), int(np.count_nonzero(pixels[outer]))


def _voxels(mask_base64: str) -> int:
    with Image.open(BytesIO(base64.b64decode(mask_base64))) as image:
        return int(np.count_nonzero(np.asarray(image)))
