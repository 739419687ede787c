"""A lab whose agents can be killed by the dozen: real Orthanc, real queue, fast worker.

The agents are real processes started by ``tests.support.launcher``. At the end
:func:`check_once` says whether anything was lost, doubled or torn.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
from pydantic import SecretStr

from infra.servers.orthanc import OrthancServer
from lab_side.agent.delivery.outbox import DRAFT_FILE, SEG_FILE, Draft
from lab_side.agent.reporting.status import AgentStatus
from lab_side.commands.status import agent_status
from lab_side.settings.config import LocalConfig
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.manifest import (
    RESULT_BYTES_LIMIT,
    AttemptRecord,
    JobManifest,
    ResultStatus,
    SeriesInput,
    parse_job_manifest,
    parse_result,
    schema_for,
    utc_now,
)
from segrelay.names import JobName, parse_job_name
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.queue import SiteQueue
from segrelay.queue.view import read_heartbeat
from segrelay.ulid import new_ulid
from tests.support.dicom.dicom_series import STUDY_UID, make_affine, write_series
from tests.support.lab.fast_queues import QUEUES, Queue
from tests.support.lab.lab import StoredStudy, store_files
from tests.support.launcher import Launch
from tests.support.paths import ROOT

DEADLINE = 120.0
"""Seconds until a test gives up waiting; a job takes about one, on a busy machine ten."""

POLL_SECONDS = 0.2
INSTANCES = 2
"""In each of the four series."""

ATTEMPTS = 10
"""More than a kill can use up by chance: a job that fails in a storm is then a defect."""

_FOLDERS = (names.PENDING, names.CLAIMED, names.DONE, names.FAILED, names.REJECTED)


@dataclass(kw_only=True)
class FastLab:
    """Agents that may die at any moment, and what they must not lose."""

    orthanc: OrthancServer
    folder: Path
    study: StoredStudy
    queue: Queue
    orthanc_url: str = ""
    """Where the agents find Orthanc; empty for the server itself."""
    drain_minutes: float = 10.0
    settings: dict[str, str] = field(default_factory=dict)
    """Further lines of an agent's settings file, by agent."""
    work_dirs: dict[str, Path] = field(default_factory=dict)
    """Of agents that have another one than the others."""
    surroundings: dict[str, str] = field(default_factory=dict)
    """Further variables of every agent's environment."""
    shell: tuple[str, ...] = ()
    """A command that starts every agent: its own command follows."""
    agents: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def bucket(self) -> Bucket:
        """The queue."""
        return self.queue.bucket

    def home(self, agent: str) -> Path:
        """An agent's own folder."""
        return self._work_dir(agent) / agent

    def log(self, agent: str) -> Path:
        """What an agent has said in all its lives."""
        return self.folder / f"{agent}.log"

    def start(self, agent: str = "lab-1", launch: Launch | None = None) -> None:
        """Start an agent's next life."""
        with self.log(agent).open("ab") as log:
            self.agents[agent] = self.open_process(agent, launch or Launch(), "run", log)

    def open_process(
        self, agent: str, launch: Launch, command: str, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start ``lab-agent`` as this agent, with one command."""
        return subprocess.Popen(
            [
                *self.shell,
                sys.executable,
                "-m",
                "tests.support.launcher",
                launch.model_dump_json(),
                *("--config", str(self._settings(agent)), "--log", "json", command),
            ],
            env=self._environment(agent),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def command(self, *arguments: str, agent: str = "lab-1") -> str:
        """Run another ``lab-agent`` command on the agent's computer; returns what it says."""
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "lab_side.cli",
                *("--config", str(self._settings(agent)), *arguments),
            ],
            env=self._environment(agent),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def is_serving(self, agent: str) -> bool:
        """Whether this life of the agent has come so far as to look for jobs."""
        seen = read_heartbeat(self.bucket, agent)
        return (
            seen is not None
            and seen.heartbeat.identity.pid == self.agents[agent].pid
            and seen.heartbeat.state not in ("starting", "stopped")
        )

    def kill(self, agent: str = "lab-1") -> None:
        """``kill -9``."""
        process = self.agents[agent]
        process.send_signal(signal.SIGKILL)
        process.wait()

    def kill_worker(self, agent: str) -> bool:
        """``kill -9`` of an agent's worker; whether it had one."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for worker in psutil.Process(self.agents[agent].pid).children():
                worker.kill()
                return True
        return False

    def stop_all(self) -> None:
        """End every agent at once; workers end with them."""
        for agent in self.agents:
            self.kill(agent)

    def submit(self, job_id: str | None = None, *, labels: tuple[str, ...] = ()) -> JobName:
        """A job on the study."""
        manifest = JobManifest(
            schema_version=schema_for(labels),
            labels=labels,
            job_id=job_id or new_ulid(),
            profile="demo",
            submitted_at=utc_now(),
            orthanc_study_id=self.study.study_id,
            series=tuple(
                SeriesInput(role=role, orthanc_id=item, expected_instances=INSTANCES)
                for role, item in zip(self._roles(), self.study.series_ids, strict=True)
            ),
            max_attempts=ATTEMPTS,
        )
        return SiteQueue(self.bucket).submit(manifest)

    def results(self, *, besides: Container[str] = ()) -> dict[str, bytes]:
        """The bytes of every result but ``besides``, by job id."""
        listed = [(Path(info.name).stem, info.name) for info in self.bucket.list(names.RESULTS)]
        return {
            job_id: self.bucket.read(name, limit=RESULT_BYTES_LIMIT)
            for job_id, name in listed
            if job_id not in besides
        }

    def live(self) -> list[str]:
        """The names of all objects that wait or are owned."""
        listed = self.bucket.list(names.JOBS)
        return [i.name for i in listed if i.name.startswith((names.PENDING, names.CLAIMED))]

    def outbox(self, agent: str) -> list[Path]:
        """The SEGs that wait at an agent."""
        folder = self.home(agent) / "outbox"
        return [path for path in folder.glob("[!.]*") if path.is_dir()]

    def check_outbox(self, agent: str) -> None:
        """Every SEG that waits at a dead agent is whole."""
        for path in self.outbox(agent):
            draft = Draft.model_validate_json((path / DRAFT_FILE).read_bytes())
            assert draft.sha256 == hashlib.sha256((path / SEG_FILE).read_bytes()).hexdigest()

    def wait_for(self, what: Callable[[], bool], why: str, seconds: float = DEADLINE) -> float:
        """Wait until something is so and return how long it took, in seconds."""
        began = time.monotonic()
        while not what():
            if time.monotonic() - began > seconds:
                tails = [f"{agent}: {self.log(agent).read_text()[-1500:]}" for agent in self.agents]
                raise AssertionError("\n".join([f"waited in vain: {why}", *self.live(), *tails]))
            time.sleep(self.queue.look_every_s)
        return time.monotonic() - began

    def is_settled(self) -> bool:
        """Whether nothing waits, is owned or lies in an outbox."""
        return not self.live() and not any(self.outbox(agent) for agent in self.agents)

    def wait_until_settled(self) -> None:
        """Until every job has ended."""
        self.wait_for(self.is_settled, "every job is settled")

    def status(self, agent: str = "lab-1") -> AgentStatus:
        """What ``lab-agent status`` tells on an agent's computer."""
        work = self._work_dir(agent)
        return agent_status(LocalConfig(bucket=self.queue.address, agent_id=agent, work_dir=work))

    def stored_segs(self) -> dict[str, str]:
        """SHA-256 of every SEG in Orthanc, by Orthanc's id."""
        client = OrthancClient(
            OrthancSettings(
                url=self.orthanc.url,
                user=self.orthanc.user,
                password=SecretStr(self.orthanc.password),
            )
        )
        query = {"Level": "Instance", "Query": {"Modality": "SEG"}}
        ids = client.transport.call_json("POST", "/tools/find", body=query)
        found = {item: hashlib.sha256(client.instance_file(item)).hexdigest() for item in ids}
        client.close()
        return found

    def _roles(self) -> tuple[str, ...]:
        profile = json.loads((ROOT / "lab_side/profiles/demo/profile.json").read_bytes())
        return tuple(item["role"] for item in profile["inputs"])

    def _work_dir(self, agent: str) -> Path:
        return self.work_dirs.get(agent, self.folder / "work")

    def _settings(self, agent: str) -> Path:
        path = self.folder / f"{agent}.toml"
        path.write_text(
            f"{self.settings.get(agent, '')}\n"
            f"poll_seconds = {POLL_SECONDS}\nidle_poll_seconds = {POLL_SECONDS}\nmin_free_gb = 0\n"
            f"drain_minutes = {self.drain_minutes}\n[orthanc]\nread_timeout = 2.0\n"
        )
        return path

    def _environment(self, agent: str) -> dict[str, str]:
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("SEGRELAY")},
            # A pool of threads for arithmetic that nobody does here costs more than all else.
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "common"))),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "SEGRELAY_BUCKET": self.queue.address,
            "SEGRELAY_AGENT_ID": agent,
            "SEGRELAY_WORK_DIR": str(self._work_dir(agent)),
            "SEGRELAY_DEVICE": "cpu",
            "SEGRELAY_PROFILES": "demo",
            "SEGRELAY_ORTHANC_URL": self.orthanc_url or self.orthanc.url,
            "SEGRELAY_ORTHANC_USER": self.orthanc.user,
            "SEGRELAY_ORTHANC_PASSWORD": self.orthanc.password,
            **self.queue.environment_of(agent),
            **self.surroundings,
        }


@contextlib.contextmanager
def open_fast_lab(orthanc: OrthancServer, folder: Path, kind: str) -> Iterator[FastLab]:
    """A lab with an empty queue and one very small study; its processes end with it."""
    study = store_small_study(orthanc, folder / "study")
    with QUEUES[kind](folder / "queue") as queue:
        lab = FastLab(orthanc=orthanc, folder=folder, study=study, queue=queue)
        try:
            yield lab
        finally:
            lab.stop_all()


def store_small_study(orthanc: OrthancServer, folder: Path) -> StoredStudy:
    """Four series of two tiny instances; storing them again changes nothing."""
    voxels = np.arange(INSTANCES * 8 * 8, dtype=np.uint16).reshape(INSTANCES, 8, 8)
    series = [
        write_series(folder / str(n), voxels, make_affine(), series_uid=f"{STUDY_UID}.{n}")
        for n in range(4)
    ]
    return store_files(orthanc, series)


def check_once(lab: FastLab, jobs: Sequence[JobName], seen: Mapping[str, bytes]) -> None:
    """I1, I2, I3: each job ended once, in one place, with the one SEG that Orthanc holds.

    ``jobs`` are all that the queue has ever had. ``seen`` are results as they were first
    seen: none was ever written over.
    """
    results = lab.results()
    assert set(results) == {job.job_id for job in jobs}
    assert {job: results[job] for job in seen} == seen
    places: Counter[str] = Counter()
    for info in lab.bucket.list(names.VERSION + "/"):
        if info.name.startswith(_FOLDERS):
            places[_job_of(info.name)] += 1
            parse_job_manifest(lab.bucket.read(info.name, limit=RESULT_BYTES_LIMIT))
    assert places == Counter(job.job_id for job in jobs)
    segs = {}
    for job_id, data in results.items():
        result = parse_result(data)
        assert (result.job_id, result.status) == (job_id, ResultStatus.SUCCEEDED), result
        assert result.seg is not None
        segs[result.seg.orthanc_id] = result.seg.sha256
    assert len(segs) == len(jobs)
    assert {item: sha for item, sha in lab.stored_segs().items() if item in segs} == segs


def attempts(lab: FastLab, job: JobName) -> list[AttemptRecord]:
    """Every record of a job; each can be read."""
    listed = lab.bucket.list(f"{names.ATTEMPTS}{job.job_id}/")
    data = [lab.bucket.read(info.name, limit=RESULT_BYTES_LIMIT) for info in listed]
    return [AttemptRecord.model_validate_json(item) for item in data]


def events(lab: FastLab, agent: str = "lab-1") -> list[dict[str, Any]]:
    """What an agent said in all its lives; the line of a death may be torn."""
    found = []
    for line in lab.log(agent).read_text().splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def _job_of(name: str) -> str:
    """The job id in the name of a manifest, archived (without a fence) or not."""
    stem = name.rpartition("/")[2]
    parsed = parse_job_name(stem) or parse_job_name(stem.replace(".json", "~0.json"))
    assert parsed is not None, name
    return parsed.job_id
