"""One run of one contender, timed and looked at; and several of them in figures."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
import pydicom

from infra.benches.transfer.scene import Route, Scene
from infra.benches.transfer.study import StoredStudy
from infra.benches.transfer.tasks import Found, Run
from infra.benches.transfer.workers import Worker

SLOW_S = 10.0
"""A contender whose first run took longer is not run again: its runs differ by little."""

Document = dict[str, object]
"""Plain JSON values."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run: seconds by the clock, and of processor time (user and system)."""

    seconds: float
    client_cpu_s: float
    server_cpu_s: float
    line_cpu_s: float


def side_by_side(
    scene: Scene, workers: Mapping[str, Worker], route: Route, study: StoredStudy, *, label: str
) -> dict[str, list[Sample]]:
    """Downloads of each contender, in a new order every round."""
    rng = scene.plan.rng(label)
    samples: dict[str, list[Sample]] = {kind: [] for kind in workers}
    for _ in range(scene.plan.rounds):
        for kind in rng.sample(sorted(workers), len(workers)):
            if not samples[kind] or samples[kind][0].seconds < SLOW_S:
                samples[kind].append(download(scene, workers[kind], route, study))
    return samples


def download(scene: Scene, worker: Worker, route: Route, study: StoredStudy) -> Sample:
    """One download.

    Raises
    ------
    RuntimeError
        Not every instance came whole, or others came.
    """
    before = _cpu_times(scene, route)
    run, found = worker.download(
        {
            "server": route.server,
            "series_ids": list(study.series_ids),
            "study_uid": study.study_uid,
            "series_uids": list(study.series_uids),
            # Emptied with the scene: for half a minute ext4 is slow to make files after others
            # were deleted, and the next run would pay for the last one's.
            "folder": tempfile.mkdtemp(dir=scene.folder),
        }
    )
    sample = _sample(run, before, _cpu_times(scene, route))
    _check(worker.kind, found, study)
    return sample


def upload(scene: Scene, worker: Worker, route: Route, path: Path) -> Sample:
    """One upload; what was stored is compared, and deleted for the next one.

    Raises
    ------
    RuntimeError
        Orthanc has other bytes, or nothing.
    """
    before = _cpu_times(scene, route)
    run = worker.upload({"server": route.server, "path": str(path)})
    sample = _sample(run, before, _cpu_times(scene, route))
    uid = pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID
    with scene.orthanc.session() as session:
        (stored,) = session.post(f"{scene.orthanc.url}/tools/lookup", str(uid)).json()
        instance = f"{scene.orthanc.url}{stored['Path']}"
        if session.get(f"{instance}/file").content != path.read_bytes():
            raise RuntimeError(f"{worker.kind} stored other bytes than it was given")
        session.delete(instance).raise_for_status()
    return sample


def figures(samples: Sequence[Sample]) -> dict[str, float]:
    """The medians."""
    return {
        "seconds": round(median(one.seconds for one in samples), 4),
        "runs": len(samples),
        "client_cpu_s": round(median(one.client_cpu_s for one in samples), 3),
        "server_cpu_s": round(median(one.server_cpu_s for one in samples), 3),
        "line_cpu_s": round(median(one.line_cpu_s for one in samples), 3),
    }


def _cpu_times(scene: Scene, route: Route) -> tuple[float, float]:
    """Of Orthanc and of the line, so far."""
    return cpu_time(scene.orthanc.pid), 0.0 if route.pid is None else cpu_time(route.pid)


def cpu_time(pid: int) -> float:
    """Seconds of processor time that a process has had, user and system."""
    spent = psutil.Process(pid).cpu_times()
    return spent.user + spent.system


def _sample(run: Run, before: tuple[float, float], after: tuple[float, float]) -> Sample:
    return Sample(
        seconds=run.seconds,
        client_cpu_s=run.cpu_s,
        server_cpu_s=after[0] - before[0],
        line_cpu_s=after[1] - before[1],
    )


def _check(kind: str, found: Sequence[tuple[str, Found]], study: StoredStudy) -> None:
    brought = dict(found)
    if len(found) != len(study.instances) or brought.keys() != study.instances.keys():
        raise RuntimeError(f"{kind} brought {len(found)} of {len(study.instances)} instances")
    for uid, expected in study.instances.items():
        if brought[uid].pixels != expected.pixels or brought[uid].size not in (None, expected.size):
            raise RuntimeError(f"{kind} brought an instance that is not the stored one")
