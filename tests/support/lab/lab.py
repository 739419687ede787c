"""A real lab for acceptance tests: Orthanc with a study, a queue, and agent processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from infra.phantom.case import make_case, scanner_grid
from infra.phantom.dicom import write_study
from infra.servers.orthanc import OrthancServer
from segrelay.bucket import open_bucket
from segrelay.bucket.local import LocalBucket
from segrelay.manifest import JobManifest, SeriesInput, utc_now
from segrelay.names import JobName
from segrelay.queue import JobLocation, JobState, SiteQueue
from segrelay.ulid import new_ulid
from tests.support.networks.tiny_profile import write_tiny_profile
from tests.support.paths import ROOT

PATIENT_NAME = "Zebrafinch^Quixotia"
"""A name that would be noticed anywhere."""

STUDY_SEED = 31
DEADLINE = 240.0
"""Seconds until a test gives up; on a busy machine importing torch alone takes twenty."""

ENDED = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.REJECTED}


@dataclass(frozen=True, kw_only=True)
class StoredStudy:
    """A phantom study in Orthanc."""

    study_id: str
    series_ids: tuple[str, ...]
    """In phase order."""
    instances: int
    """In each series."""


@dataclass(kw_only=True)
class Lab:
    """The lab's computer and what it talks to."""

    orthanc: OrthancServer
    folder: Path
    study: StoredStudy
    agents: list[subprocess.Popen[str]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    @property
    def bucket(self) -> LocalBucket:
        """The queue's directory."""
        bucket = open_bucket(self.queue_address)
        if not isinstance(bucket, LocalBucket):
            raise TypeError("the lab's queue is a directory")
        return bucket

    @property
    def queue_address(self) -> str:
        return (self.folder / "queue").as_uri()

    @property
    def home(self) -> Path:
        """The agent's own work folder."""
        return self.folder / "work" / "lab-1"

    def environment(self, **changes: str) -> dict[str, str]:
        """What configures an agent here."""
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("SEGRELAY")},
            "PYTHONPATH": str(ROOT),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            # Several labs at once on few cores: threads that wait for each other cost more.
            "OMP_NUM_THREADS": "1",
            "SEGRELAY_BUCKET": self.queue_address,
            "SEGRELAY_AGENT_ID": "lab-1",
            "SEGRELAY_WORK_DIR": str(self.folder / "work"),
            "SEGRELAY_DEVICE": "cpu",
            "SEGRELAY_PROFILES": "tiny,slow",
            "SEGRELAY_PROFILES_DIR": str(self.folder / "profiles"),
            "SEGRELAY_ORTHANC_URL": self.orthanc.url,
            "SEGRELAY_ORTHANC_USER": self.orthanc.user,
            "SEGRELAY_ORTHANC_PASSWORD": self.orthanc.password,
            **changes,
        }

    def start_agent(self, *arguments: str, **changes: str) -> subprocess.Popen[str]:
        """Start ``lab-agent``; its log goes to a file of its own."""
        log = self.folder / f"agent-{len(self.logs)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "lab_side.cli", "--log", "json", *(arguments or ("run",))],
                env=self.environment(**changes),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                text=True,
            )
        self.logs.append(log)
        self.agents.append(process)
        return process

    def run_agent(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run ``lab-agent`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "lab_side.cli", *arguments],
            env=self.environment(**changes),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def events(self, log: int = -1) -> list[dict[str, Any]]:
        """The events of an agent's log, which must be nothing but JSON lines."""
        text = self.logs[log].read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def has_event(self, name: str, log: int = -1) -> bool:
        return any(item["event"] == name for item in self.events(log))

    def manifest(self, **changes: object) -> JobManifest:
        """A valid job on the study."""
        fields: dict[str, object] = {
            "job_id": new_ulid(),
            "profile": "tiny",
            "submitted_at": utc_now(),
            "orthanc_study_id": self.study.study_id,
            "series": self.series(self.study.series_ids),
        }
        return JobManifest.model_validate({**fields, **changes})

    def series(self, ids: Sequence[str]) -> tuple[SeriesInput, ...]:
        """Inputs in phase order, with the instance counts of the study."""
        return tuple(
            SeriesInput(role=f"dce-{n}", orthanc_id=item, expected_instances=self.study.instances)
            for n, item in enumerate(ids)
        )

    def submit(self, **changes: object) -> JobName:
        return SiteQueue(self.bucket).submit(self.manifest(**changes))

    def where(self, name: JobName) -> JobLocation:
        return SiteQueue(self.bucket).find(name)

    def wait_for(self, what: Callable[[], bool], why: str) -> None:
        """Wait until something is so; fails with ``why`` and the agents' logs."""
        limit = time.monotonic() + DEADLINE
        while not what():
            if time.monotonic() > limit:
                tails = [log.read_text()[-2000:] for log in self.logs]
                raise AssertionError(f"waited in vain: {why}\n" + "\n---\n".join(tails))
            time.sleep(0.05)

    def wait_until_ended(self, name: JobName) -> JobLocation:
        self.wait_for(lambda: self.where(name).state in ENDED, "the job ends")
        return self.where(name)

    def kill_agent(self, process: subprocess.Popen[str]) -> None:
        """``kill -9``."""
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stored_segs(self) -> list[dict[str, Any]]:
        """Every SEG series in Orthanc, expanded."""
        with self.orthanc.session() as session:
            answer = session.post(
                f"{self.orthanc.url}/tools/find",
                json={"Level": "Instance", "Query": {"Modality": "SEG"}, "Expand": True},
            )
        found: list[dict[str, Any]] = answer.json()
        return found

    def stop_all(self) -> None:
        for process in self.agents:
            if process.poll() is None:
                process.kill()
            process.wait()


@contextlib.contextmanager
def open_lab(orthanc: OrthancServer, folder: Path) -> Iterator[Lab]:
    """A lab with one small study; its processes end with it."""
    write_tiny_profile(folder / "profiles")
    write_tiny_profile(folder / "profiles", "slow", slow=True)
    lab = Lab(orthanc=orthanc, folder=folder, study=store_phantom(orthanc, folder / "study"))
    try:
        yield lab
    finally:
        lab.stop_all()


def store_phantom(orthanc: OrthancServer, folder: Path) -> StoredStudy:
    """Write a small phantom study and upload it."""
    grid = partial(scanner_grid, shape=(20, 64, 72), spacing=(2.4, 2.4, 7.0))
    study = write_study(make_case(STUDY_SEED, grid=grid), folder, patient_name=PATIENT_NAME)
    return store_files(orthanc, [list(series.paths) for series in study.series])


def store_files(orthanc: OrthancServer, series: Sequence[Sequence[Path]]) -> StoredStudy:
    """Upload the files of each series; returns Orthanc's ids in the same order."""
    ids: list[str] = []
    study_id = ""
    with orthanc.session() as session:
        for paths in series:
            for path in paths:
                answer = session.post(f"{orthanc.url}/instances", data=path.read_bytes())
                answer.raise_for_status()
                reply = answer.json()
            ids.append(reply["ParentSeries"])
            study_id = reply["ParentStudy"]
    return StoredStudy(study_id=study_id, series_ids=tuple(ids), instances=len(series[0]))
