"""One run of one contender, timed and checked; and several of them in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import psutil
import pydicom

from infra.benches.child import Child
from infra.benches.harness import Report
from infra.benches.study import StoredStudy
from infra.benches.transfer.scene import Route, TransferScene
from infra.benches.transfer.tasks import DownloadTask, Found, Run, UploadTask

PEERS = ("pyorthanc", "orthanc-api-client", "dicomweb-client")
"""Contenders that live in the peers' venv."""


class Worker(Child):
    """One contender in a process of its own."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind, "infra.benches.transfer.worker", [kind], peer=kind in PEERS)

    def download(self, task: DownloadTask) -> tuple[Run, list[tuple[str, Found]]]:
        """Download the series; what was found by SOP Instance UID."""
        answer = self.ask({"do": "download", **task})
        return Run(*answer["run"]), [(uid, Found(*found)) for uid, found in answer["found"]]

    def upload(self, task: UploadTask) -> Run:
        """Send the file."""
        return Run(*self.ask({"do": "upload", **task})["run"])


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run: seconds by the clock, and of processor time (user and system)."""

    seconds: float
    client_cpu_s: float
    server_cpu_s: float
    line_cpu_s: float


def download(scene: TransferScene, worker: Worker, route: Route, study: StoredStudy) -> Sample:
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
            "folder": str(scene.new_folder()),
        }
    )
    sample = _sample(run, before, _cpu_times(scene, route))
    _check(worker.name, found, study)
    return sample


def upload(scene: TransferScene, worker: Worker, route: Route, path: Path) -> Sample:
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
            raise RuntimeError(f"{worker.name} stored other bytes than it was given")
        session.delete(instance).raise_for_status()
    return sample


def figures(samples: Sequence[Sample]) -> Report:
    """The medians."""
    rows = [asdict(sample) for sample in samples]
    medians = {name: round(median(row[name] for row in rows), 3) for name in rows[0]}
    seconds = round(median(row["seconds"] for row in rows), 4)
    return {**medians, "seconds": seconds, "runs": len(rows)}


def _cpu_times(scene: TransferScene, route: Route) -> tuple[float, float]:
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
