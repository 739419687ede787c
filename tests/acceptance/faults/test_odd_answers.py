"""Orthanc answers oddly about one series: its job ends, the others are served, the agent lives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.fake_gcs.messages import Answer, Request
from infra.servers.orthanc import OrthancServer
from segrelay.manifest import ResultStatus, parse_job_manifest, parse_result
from segrelay.names import JobName
from segrelay.queue import SiteQueue
from segrelay.queue.claims import FREE_REPEATS
from segrelay.ulid import new_ulid
from tests.support.dicom.dicom_series import STUDY_UID, make_affine, write_series
from tests.support.lab.fast_lab import INSTANCES, FastLab, attempts, check_once, open_fast_lab
from tests.support.lab.lab import store_files
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy

GOOD = 5
MAX_ATTEMPTS = 2


@dataclass
class Bent:
    """A lab whose Orthanc answers oddly about one series."""

    lab: FastLab
    proxy: FaultProxy
    series_id: str

    def submit_poison(self) -> JobName:
        """A job whose last series is the odd one."""
        series = (*self.lab.study.series_ids[:3], self.series_id)
        other = replace(self.lab, study=replace(self.lab.study, series_ids=series))
        name = other.submit()
        pending = self.lab.bucket.read(name.pending, limit=10**6)
        manifest = parse_job_manifest(pending).model_copy(
            update={"job_id": new_ulid(), "max_attempts": MAX_ATTEMPTS, "priority": 0}
        )
        info = self.lab.bucket.stat(name.pending)
        self.lab.bucket.delete(name.pending, generation=info.generation)
        return SiteQueue(self.lab.bucket).submit(manifest)

    def answer_oddly(self, body: bytes, kind: str) -> None:
        """In place of what ``/tools/bulk-content`` has of the series."""

        def instead(request: Request) -> Answer | None:
            if request.path != "/tools/bulk-content":
                return None
            asked = json.loads(request.body)
            is_odd = self.series_id in asked["Resources"] and asked.get("Level", "") == kind
            headers = {"Content-Type": "application/json"}
            return Answer(headers=headers, body=body) if is_odd else None

        self.proxy.instead = instead


@pytest.fixture
def bent(orthanc: OrthancServer, tmp_path: Path) -> Iterator[Bent]:
    voxels = np.arange(INSTANCES * 8 * 8, dtype=np.uint16).reshape(INSTANCES, 8, 8)
    with open_fast_lab(orthanc, tmp_path, "directory") as lab, fault_proxy(orthanc.url) as proxy:
        paths = write_series(tmp_path / "odd", voxels, make_affine(), series_uid=f"{STUDY_UID}.9")
        (series_id,) = store_files(orthanc, [paths]).series_ids
        lab.orthanc_url = proxy.url
        yield Bent(lab=lab, proxy=proxy, series_id=series_id)


def _instance(series_id: str, **changes: Any) -> bytes:
    item = {
        "ID": series_id,
        "Type": "Instance",
        "ParentSeries": series_id,
        "MainDicomTags": {"SOPInstanceUID": "1.2.3"},
        "FileSize": 1000,
    }
    return json.dumps([{**item, **changes}]).encode()


def _odd_body(what: str, series_id: str) -> bytes:
    if what == "null tags":
        return _instance(series_id, MainDicomTags=None)
    if what == "no size":
        return _instance(series_id, FileSize=None)
    if what == "an object for a list":
        return b'{"items": 7}'
    assert what == "deep"
    return b"[" * 3500


@pytest.mark.parametrize(
    "what",
    ["null tags"]
    + [
        pytest.param(name, marks=pytest.mark.long)
        for name in ("no size", "an object for a list", "deep")
    ],
)
def test_one_odd_series_ends_its_job_and_stops_no_other(bent: Bent, what: str) -> None:
    lab = bent.lab
    bent.answer_oddly(_odd_body(what, bent.series_id), "Instance")
    poison = bent.submit_poison()
    jobs = [lab.submit() for _ in range(GOOD)]
    lab.start()
    lab.wait_until_settled()
    assert lab.agents["lab-1"].poll() is None, "the agent has ended"
    assert lab.log("lab-1").read_text().count("Listening for jobs") == 1
    result = parse_result(lab.results()[poison.job_id])
    assert (result.status, result.attempt) == (ResultStatus.FAILED, FREE_REPEATS + MAX_ATTEMPTS)
    records = attempts(lab, poison)
    assert [record.counts for record in records] == [False] * FREE_REPEATS + [True] * MAX_ATTEMPTS
    assert {record.code for record in records} == {"orthanc-answer"}
    failed = lab.bucket.stat(poison.failed)
    lab.bucket.delete(failed.name, generation=failed.generation)
    lab.bucket.delete(
        f"v1/results/{poison.job_id}.json",
        generation=lab.bucket.stat(f"v1/results/{poison.job_id}.json").generation,
    )
    check_once(lab, jobs, {})
    for job in jobs:
        assert not any(record.counts for record in attempts(lab, job))
