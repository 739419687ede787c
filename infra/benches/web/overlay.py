"""Phase: how many bytes the overlay of a whole case is, as it travels."""

from __future__ import annotations

from typing import Any

from infra.benches.web.reading import rgba_json
from infra.benches.web.scene import SEG_KINDS, WebScene
from infra.servers.site_and_agent import DemoServers


def overlay(scene: WebScene) -> dict[str, Any]:
    """Of one lesion, and of spindles through every slice; the headline is the lesion's."""
    rows = {}
    with scene.site() as site:
        for kind in SEG_KINDS:
            seg_id = scene.store_seg("brats", kind, f"overlay-{kind}")
            rows[kind] = _sizes(scene, site, seg_id)
    return {"overlay": rows, "overlay_kib": rows["tumour"]["page_kib"]}


def _sizes(scene: WebScene, site: DemoServers, seg_id: str) -> dict[str, float]:
    """KiB: what the page loads (description and labels), the slices as PNGs, other forms."""
    path = f"instances/{seg_id}/overlay/"
    described = site.get(path)
    labels = f"instances/{seg_id}/labels/?series={described['series_id']}"
    pngs = [f"{path}{index}.png?series={described['series_id']}" for index in described["slices"]]
    frames = site.get(f"instances/{seg_id}/frames/")["num_frames"]
    _, rgba = rgba_json(scene.orthanc, seg_id, _frame_count(scene, seg_id))
    sizes = {
        "page_kib": _size(site, path) + _size(site, labels),
        "labels_kib": _size(site, labels),
        "png_kib": sum(_size(site, png) for png in pngs),
        "frames_json_kib": _size(site, f"instances/{seg_id}/frames/"),
        "rgba_json_kib": rgba,
    }
    return {"slices": frames, **{name: round(size / 1024, 1) for name, size in sizes.items()}}


def _size(site: DemoServers, path: str) -> int:
    """Bytes of the answer's body as it travels."""
    return int(site.answer(path).headers["Content-Length"])


def _frame_count(scene: WebScene, seg_id: str) -> int:
    with scene.orthanc.session() as session:
        answer = session.get(f"{scene.orthanc.url}/instances/{seg_id}/frames")
        answer.raise_for_status()
        return len(answer.json())
