"""One fault at every remote call of a job's way: each job ends well, in bounded time.

The agent is the real one, in a thread of this process; its worker is the fast one. It reaches
the fake Google Cloud Storage and a real Orthanc over lines that break on order; this test
itself uses doors that never do.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.fake_gcs import FakeGcs, Fault, FaultKind
from infra.fake_gcs.faults import Faults
from infra.servers.orthanc import OrthancServer
from lab_side.agent.agent import Agent
from lab_side.agent.build import build_agent
from lab_side.agent.health.orthanc_gate import (
    CHECK_EVERY,
    PROBE_RETRIES,
    PROBE_TIMEOUT,
    OrthancGate,
)
from lab_side.settings.config import AgentConfig, ModelConfig
from segrelay.manifest import AttemptOutcome
from segrelay.names import JobName
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.queue.lease import LEASE as PRODUCT_LEASE
from tests.conftest import SEED, Tell
from tests.support.buckets.gcs import BUCKET, make_bucket
from tests.support.lab.fast_lab import FastLab, attempts, check_once, store_small_study
from tests.support.lab.fast_queues import Queue, clean_door
from tests.support.lab.fast_worker import FastWorker
from tests.support.launcher import LEASE, shorten
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy

BOUND_S = 30.0
"""A job may take this long whatever happens; undisturbed it takes half a second."""

DRIP_S = 0.3
"""Between two bytes: within every time-out, and far too slow as a whole."""

CALL_S, ANSWER_S = 1.5, 1.0
"""For all tries of one call to the queue, and for one answer's body."""

OUTAGE_S = 3.0
"""Longer than the patience of one call."""

EVER = 10**6
"""Requests: more than there will be."""

FAULTS = {
    "drop before": Fault(kind=FaultKind.DROP_BEFORE),
    "answer lost": Fault(kind=FaultKind.DROP_AFTER),
    "reset": Fault(kind=FaultKind.RESET),
    "cut body": Fault(kind=FaultKind.CUT),
    "429": Fault(kind=FaultKind.STATUS, status=429),
    "503": Fault(kind=FaultKind.STATUS, status=503),
    "done, but 503": Fault(kind=FaultKind.STATUS_AFTER, status=503),
    "slow drip": Fault(kind=FaultKind.DRIP, seconds=DRIP_S),
    "hang": Fault(kind=FaultKind.HANG),
    "done, then hang": Fault(kind=FaultKind.HANG_AFTER),
}
LINES = ("gcs", "orthanc")

SAMPLE, SAMPLE_OF_OUTAGES = 2 * len(FAULTS), 2
"""Pairs of line, fault and call that a short run tries; a long run tries all."""


@dataclass(kw_only=True)
class Scene:
    """An agent, its two lines, and what it shall do."""

    lab: FastLab
    fake: FakeGcs
    proxy: FaultProxy
    make_agent: Callable[[], Agent]
    agent: Agent = field(init=False)
    thread: threading.Thread = field(init=False)
    jobs: list[JobName] = field(default_factory=list)

    def start_next_life(self) -> None:
        """Start the agent and wait until it listens."""
        self.agent = self.make_agent()
        self.thread = threading.Thread(target=self.agent.run, name="agent")
        self.thread.start()
        status = self.agent._status
        self.lab.wait_for(lambda: status.agent.state == "listening", "the agent listens")

    def submit(self) -> JobName:
        """One more job."""
        self.jobs.append(self.lab.submit())
        return self.jobs[-1]

    def check(self) -> None:
        """Every job so far ended once and well, and no attempt counted against it."""
        check_once(self.lab, self.jobs, {})
        for job in self.jobs:
            assert not any(record.counts for record in attempts(self.lab, job)), job

    def faults(self, line: str) -> Faults:
        """The orders of one line."""
        return self.fake.faults if line == "gcs" else self.proxy.faults

    def requests(self, line: str) -> int:
        """How many requests the line has seen."""
        return len(self.fake.requests if line == "gcs" else self.proxy.requests)

    def clear(self) -> None:
        """Let both lines be good again."""
        for line in LINES:
            self.faults(line).clear()

    def end(self, job: JobName) -> float:
        """Wait until the job is settled; seconds that it took."""
        return self.lab.wait_for(lambda: self.is_settled(job), f"{job.job_id} ends", BOUND_S)

    def is_settled(self, job: JobName) -> bool:
        assert self.thread.is_alive(), "the agent has ended"
        return not any(job.job_id in name for name in self.lab.live()) and not self.lab.outbox(
            "lab-1"
        )


@contextmanager
def open_scene(
    orthanc: OrthancServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """A running agent that waits for jobs."""
    shorten(monkeypatch.setattr)
    monkeypatch.setattr("lab_side.agent.build.new_worker", lambda _config: FastWorker())
    study = store_small_study(orthanc, folder / "study")
    with FakeGcs() as fake, clean_door(fake) as door, fault_proxy(orthanc.url) as proxy:
        site = make_bucket(door, "queue")
        own = make_bucket(fake.url, "queue", deadline=CALL_S, answer_limit=ANSWER_S)
        lab = FastLab(
            orthanc=orthanc,
            folder=folder,
            study=study,
            queue=Queue(address=f"gs://{BUCKET}/queue", bucket=site),
        )
        config = make_config(orthanc, proxy.url, folder / "work")
        scene = Scene(lab=lab, fake=fake, proxy=proxy, make_agent=lambda: build_agent(config, own))
        try:
            scene.start_next_life()
            yield scene
        finally:
            scene.clear()
            scene.agent.stop()
            scene.agent.stop()
            scene.thread.join(BOUND_S)
            site.close()
            own.close()
        assert not scene.thread.is_alive(), "the agent does not end"


def make_config(orthanc: OrthancServer, url: str, work: Path) -> AgentConfig:
    return AgentConfig(
        agent_id="lab-1",
        work_dir=work,
        orthanc=OrthancSettings(
            url=url,
            user=orthanc.user,
            password=SecretStr(orthanc.password),
            connections=2,
            connect_timeout=1.0,
            read_timeout=0.7,
            retries=1,
        ),
        models=(ModelConfig(profile="demo"),),
        poll_seconds=0.2,
        idle_poll_seconds=0.2,
        min_free_gb=0,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[OrthancServer]:
    with OrthancServer() as server:
        yield server


@pytest.fixture
def scene(
    server: OrthancServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    with open_scene(server, tmp_path, monkeypatch) as scene:
        yield scene


def every_call(scene: Scene) -> list[tuple[str, str, int]]:
    """Line, fault and number of the call, for every request of an undisturbed job."""
    before = {line: scene.requests(line) for line in LINES}
    scene.end(scene.submit())
    calls = {line: scene.requests(line) - before[line] for line in LINES}
    return [
        (line, label, number) for line in LINES for label in FAULTS for number in range(calls[line])
    ]


def run_through(scene: Scene, cases: Sequence[tuple[str, str, int]], outage_s: float) -> str:
    """A job for each case, broken there; all end once. Returns a line for a person.

    ``outage_s``: 0 breaks one request, more breaks all from that one on for so many seconds.
    """
    slowest = 0.0
    for line, label, number in cases:
        times = EVER if outage_s else 1
        scene.faults(line).add(replace(FAULTS[label], skip=number, times=times))
        job = scene.submit()
        if outage_s:
            time.sleep(outage_s)
            scene.clear()
        took = scene.end(job)
        scene.clear()
        slowest = max(slowest, took)
    scene.check()
    hits = sum(scene.faults(line).hits for line in LINES)
    return f" seed {SEED}: {len(cases)} jobs, {hits} requests broken, slowest {slowest:.1f} s "


@pytest.mark.parametrize("sample", [SAMPLE, pytest.param(None, marks=pytest.mark.long)])
def test_one_fault_at_every_remote_call(scene: Scene, tell: Tell, sample: int | None) -> None:
    cases = every_call(scene)
    report = run_through(scene, choose(cases, sample), 0)
    tell(report)


@pytest.mark.parametrize("sample", [SAMPLE_OF_OUTAGES, pytest.param(80, marks=pytest.mark.long)])
def test_an_outage_from_any_remote_call_on(scene: Scene, tell: Tell, sample: int) -> None:
    cases = every_call(scene)
    report = run_through(scene, choose(cases, sample), OUTAGE_S)
    tell(report)


def choose(
    cases: Sequence[tuple[str, str, int]], sample: int | None
) -> Sequence[tuple[str, str, int]]:
    """A random sample in which each fault occurs on each line; all without a number."""
    if sample is None:
        return cases
    chance = random.Random(SEED)
    mixed = chance.sample(list(cases), len(cases))
    kinds = {(line, label): (line, label, number) for line, label, number in mixed}
    first = list(kinds.values())
    return (first + [case for case in mixed if case not in first])[:sample]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("gcs", Fault(kind=FaultKind.HANG, times=EVER)),
        ("orthanc", Fault(kind=FaultKind.HANG, name_contains="/file", times=EVER)),
        ("orthanc", Fault(kind=FaultKind.DRIP, name_contains="/file", times=EVER, seconds=DRIP_S)),
    ],
    ids=["queue-hangs", "download-hangs", "download-drips"],
)
def test_a_stop_works_while_a_request_hangs(scene: Scene, line: str, fault: Fault) -> None:
    """The agent ends in order; its job is nobody's fault and is done by the next life."""
    scene.faults(line).add(fault)
    job = scene.submit()
    scene.lab.wait_for(lambda: scene.faults(line).hits > 0, "a request hangs")
    scene.agent.stop()
    scene.thread.join(BOUND_S)
    assert not scene.thread.is_alive(), "the stop waits for the request"
    scene.clear()
    scene.start_next_life()
    scene.end(job)
    scene.check()


def test_i5_beats_go_on_while_other_calls_hang(scene: Scene) -> None:
    """Progress and results hang for two leases: the agent must not be taken for dead."""
    scene.fake.break_next(FaultKind.HANG, "upload", times=EVER)
    job = scene.submit()
    end = time.monotonic() + 2 * LEASE.total_seconds()
    while time.monotonic() < end:
        lease = scene.agent._heartbeat._lease
        assert lease.is_held(), f"no beat for {lease.age():.1f} s"
        time.sleep(0.05)
    assert scene.fake.faults.hits > 1
    scene.clear()
    scene.end(job)
    scene.check()


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.DRIP], ids=["hangs", "drips"])
def test_a_download_without_progress_is_noticed_and_handed_back(
    scene: Scene, kind: FaultKind
) -> None:
    fault = Fault(kind=kind, name_contains="/file", times=EVER, seconds=DRIP_S)
    scene.proxy.faults.add(fault)
    job = scene.submit()
    scene.lab.wait_for(lambda: bool(attempts(scene.lab, job)), "the job is handed back")
    first = attempts(scene.lab, job)[0]
    assert (first.outcome, first.code) == (AttemptOutcome.HANDED_BACK, "orthanc-unavailable")
    scene.clear()
    scene.end(job)
    scene.check()


def test_i5_an_orthanc_that_hangs_does_not_keep_the_loop_from_reaping(
    server: OrthancServer, tmp_path: Path
) -> None:
    """The loop asks Orthanc before it claims: two short tries, not five long ones."""
    longest = (1 + PROBE_RETRIES) * (PROBE_TIMEOUT + OrthancSettings(url="").connect_timeout)
    assert longest + CHECK_EVERY < PRODUCT_LEASE.total_seconds()
    with fault_proxy(server.url) as proxy:
        config = make_config(server, proxy.url, tmp_path)
        client = OrthancClient(config.orthanc)
        gate = OrthancGate(client)
        gate.check_at_start(is_patient=False)
        gate.doubt()
        proxy.faults.add(Fault(kind=FaultKind.HANG, times=EVER))
        assert gate.problem() is not None
        assert len(proxy.requests) == 1 + 1 + PROBE_RETRIES
        assert gate.problem() is not None
        assert len(proxy.requests) == 1 + 1 + PROBE_RETRIES
        client.close()
