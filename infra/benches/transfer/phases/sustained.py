"""The real agent under a backlog: is it as fast as its slowest stage, and does it stay small?

A queue in a directory, Orthanc with a phantom study behind a line, the agent as a process of
its own with the ``demo`` network on this computer's processor. First some jobs one at a time:
each stage then runs alone, and the agent reports its seconds in the result. Then many at once:
downloads, inference and uploads overlap. The period is the time from the first result to the
last, by the store's clock, divided by the jobs between; the first fills the stages.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.benches.harness import Report
from infra.benches.transfer.scene import TransferScene
from infra.packages.debian import repository_root
from infra.phantom.case import make_case
from infra.phantom.dicom import write_study
from infra.servers.orthanc import OrthancServer
from infra.servers.processes import Child, ProcessSet
from infra.servers.site_and_agent import AGENT_IS_READY
from segrelay import names
from segrelay.bucket.local import LocalBucket
from segrelay.errors import SegRelayError
from segrelay.manifest import JobManifest, ResultManifest, SeriesInput, parse_result, utc_now
from segrelay.queue import SiteQueue
from segrelay.stages import Stage
from segrelay.ulid import new_ulid

PROFILE = "demo"
ROLES = ("dce-0", "dce-1", "dce-2", "dce-3")

FETCH, UPLOAD = Stage.FETCH, Stage.UPLOAD
"""Stages of their own; all others are the worker's, one after the other."""

LINE = "wan30"

PHANTOM = 5
"""Its seed."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
"""Of torch and of SimpleITK."""

LIMIT_S = 900.0
"""For the whole run: an agent that hangs must not hang the bench."""

LOOK_EVERY_S = 0.05

_MIB = 1024 * 1024


class SustainedError(SegRelayError):
    """The agent did not do its work."""

    code = "bench"
    remedy = "Look at the agent's last words above."


@dataclass(kw_only=True)
class Lab:
    """The agent, its queue, and what was seen of it."""

    bucket: LocalBucket
    agent: Child
    template: JobManifest
    """Of every job, but for its id and time."""
    started_at: float = field(default_factory=time.monotonic)
    memory: list[tuple[int, float, float]] = field(default_factory=list)
    """Results so far, resident MiB of the agent, of its worker."""

    def submit(self) -> str:
        """One job on the study; returns its id."""
        update = {"job_id": new_ulid(), "submitted_at": utc_now()}
        return SiteQueue(self.bucket).submit(self.template.model_copy(update=update)).job_id

    def wait_until_it_listens(self) -> None:
        """Until its model is loaded."""
        while AGENT_IS_READY not in self.agent.log.read_text(errors="replace"):
            self._check()
            time.sleep(LOOK_EVERY_S)

    def wait_for(self, jobs: Sequence[str]) -> dict[str, tuple[float, ResultManifest]]:
        """When each job's result was written, by the store's clock in seconds, and the result."""
        wanted = {names.result_object(job): job for job in jobs}
        seen: dict[str, float] = {}
        while len(seen) < len(wanted):
            self._check()
            results = {info.name: info for info in self.bucket.list(names.RESULTS)}
            seen = {
                wanted[name]: results[name].updated.timestamp() for name in wanted.keys() & results
            }
            self._note_memory(len(results))
            time.sleep(LOOK_EVERY_S)
        return {job: (at, self._result(job)) for job, at in seen.items()}

    def _result(self, job: str) -> ResultManifest:
        result = parse_result(self.bucket.read(names.result_object(job), limit=_MIB))
        if result.seg is None:
            reason = "" if result.failure is None else result.failure.reason
            raise SustainedError(f"A job has failed: {reason}")
        return result

    def _note_memory(self, results: int) -> None:
        process = psutil.Process(self.agent.process.pid)
        sizes = [one.memory_info().rss / _MIB for one in process.children()]
        self.memory.append((results, process.memory_info().rss / _MIB, sum(sizes)))

    def _check(self) -> None:
        ended = self.agent.process.poll() is not None
        if ended or time.monotonic() - self.started_at > LIMIT_S:
            sys.stderr.write(self.agent.log_tail() + "\n")
            raise SustainedError("The agent has ended." if ended else "The agent hangs.")


def sustained(scene: TransferScene) -> Report:
    """The phase: as many jobs as the plan says, over :data:`LINE`.

    Raises
    ------
    SustainedError
        As :func:`measure`.
    """
    folder = scene.folder / "sustained"
    folder.mkdir()
    job = store_phantom(scene.orthanc, folder / "study")
    with scene.route(LINE) as route:
        server = {
            "SEGRELAY_ORTHANC_URL": route.server["url"],
            "SEGRELAY_ORTHANC_USER": route.server["user"],
            "SEGRELAY_ORTHANC_PASSWORD": route.server["password"],
        }
        plan = {"jobs": scene.plan.jobs, "alone": scene.plan.jobs_alone}
        one = measure(job, folder / "one-thread", server | ONE_THREAD, **plan)
        every = measure(job, folder / "all-threads", server, **plan)
    return {
        "sustained_vs_slowest_stage": one["vs_slowest_stage"],
        "sustained": one,
        "sustained_all_threads": every,
    }


def store_phantom(orthanc: OrthancServer, folder: Path) -> JobManifest:
    """Make a phantom with a lesion and store it; returns a job on it."""
    study = write_study(make_case(PHANTOM, has_lesion=True), folder)
    inputs = []
    with orthanc.session() as session:
        for role, series in zip(ROLES, study.series, strict=True):
            for path in series.paths:
                answer = session.post(f"{orthanc.url}/instances", path.read_bytes())
                answer.raise_for_status()
            reply, count = answer.json(), len(series.paths)
            inputs.append(
                SeriesInput(role=role, orthanc_id=reply["ParentSeries"], expected_instances=count)
            )
    return JobManifest(
        job_id=new_ulid(),
        profile=PROFILE,
        submitted_at=utc_now(),
        orthanc_study_id=reply["ParentStudy"],
        series=tuple(inputs),
    )


def measure(
    template: JobManifest, folder: Path, environment: Mapping[str, str], *, jobs: int, alone: int
) -> Report:
    """Run ``alone`` jobs like ``template`` one at a time, then ``jobs`` at once.

    ``environment`` leads the agent to Orthanc (``SEGRELAY_ORTHANC_…``).

    Raises
    ------
    SustainedError
        The agent ended, hung, or failed a job.
    """
    folder.mkdir()
    queue = folder / "queue"
    settings = {
        **environment,
        "SEGRELAY_BUCKET": queue.as_uri(),
        "SEGRELAY_AGENT_ID": "bench",
        "SEGRELAY_WORK_DIR": str(folder / "work"),
        "SEGRELAY_PROFILES": PROFILE,
        "SEGRELAY_DEVICE": "cpu",
    }
    bucket = LocalBucket(queue)
    with ProcessSet() as processes:
        agent = processes.start(
            "agent",
            [sys.executable, "-m", "lab_side.cli", "--log", "json", "run"],
            log=folder / "agent.log",
            environment=settings,
            folder=repository_root(),
        )
        lab = Lab(bucket=bucket, agent=agent, template=template)
        lab.wait_until_it_listens()
        # The first job opens connections and warms the network up; it is not counted.
        lab.wait_for([lab.submit()])
        single = [lab.wait_for([lab.submit()]) for _ in range(alone)]
        lab.memory.clear()
        together = lab.wait_for([lab.submit() for _ in range(jobs)])
    return figures([result for run in single for _, result in run.values()], together, lab.memory)


def figures(
    single: Sequence[ResultManifest],
    together: Mapping[str, tuple[float, ResultManifest]],
    memory: Sequence[tuple[int, float, float]],
) -> Report:
    """What the runs say; memory as the peak of the first half and of the second."""
    stages_alone = median_stages(single)
    slowest = max(stages_alone, key=lambda name: stages_alone[name])
    ends = sorted(at for at, _ in together.values())
    period = (ends[-1] - ends[0]) / (len(ends) - 1)
    middle = (memory[0][0] + memory[-1][0]) / 2
    halves = [[m for m in memory if m[0] <= middle], [m for m in memory if m[0] > middle]]
    return {
        "vs_slowest_stage": round(stages_alone[slowest] / period, 3),
        "jobs": len(together),
        "stages_alone_s": stages_alone,
        "stages_together_s": median_stages([result for _, result in together.values()]),
        "slowest_stage": slowest,
        "period_s": round(period, 3),
        "one_after_the_other_s": round(sum(stages_alone.values()), 3),
        "agent_peak_mib": [round(max(m[1] for m in half), 1) for half in halves],
        "worker_peak_mib": [round(max(m[2] for m in half), 1) for half in halves],
    }


def median_stages(results: Sequence[ResultManifest]) -> dict[str, float]:
    """Median seconds of download, worker and upload."""
    rows = [_stages(result) for result in results]
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


def _stages(result: ResultManifest) -> dict[str, float]:
    seconds = {} if result.provenance is None else dict(result.provenance.stage_seconds)
    fetch, upload = seconds.pop(FETCH), seconds.pop(UPLOAD)
    return {FETCH: fetch, "worker": sum(seconds.values()), UPLOAD: upload}
