"""The cost a month in infra/gcs/README.md comes from operations counted on the strict fake."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from gcp_side.labseg.management.commands import labseg
from infra.fake_gcs import FakeGcs
from infra.fake_gcs.routes import OPERATIONS
from infra.gcs import cost
from infra.gcs.cost import Operations
from segrelay import names
from segrelay.bucket.gcs import GcsBucket
from segrelay.manifest import JobManifest
from segrelay.names import JobName
from segrelay.queue import (
    AgentQueue,
    Heartbeat,
    HeartbeatJob,
    Identity,
    JobState,
    Lease,
    Reaper,
    SiteQueue,
    scan,
)
from tests.support.buckets.gcs import BUCKET, fresh_bucket
from tests.support.jobs import make_identity, make_manifest, make_result
from tests.support.paths import ROOT


@pytest.fixture
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET]) as fake:
        yield fake


@pytest.fixture
def bucket(fake: FakeGcs) -> Iterator[GcsBucket]:
    with fresh_bucket(fake) as bucket:
        yield bucket


def counted(fake: FakeGcs, act: Callable[[], object]) -> Operations:
    """What an act asks of the store."""
    fake.forget_requests()
    act()
    return cost.count(item["operation"] for item in fake.requests)


def never(_identity: Identity) -> bool:
    return False


class Agent:
    """The queue's side of a running agent, with the calls of its loop and its stages."""

    def __init__(self, bucket: GcsBucket) -> None:
        self.bucket = bucket
        self.identity = make_identity()
        self.lease = Lease(bucket, "lab-1", self.identity, is_dead=never)
        self.lease.take(self.heartbeat_of())
        self.queue = AgentQueue(bucket, "lab-1", now=self.lease.now)
        self.reaper = Reaper(bucket, "lab-1", now=self.lease.now, is_dead=never)

    def heartbeat_of(self) -> Heartbeat:
        return Heartbeat(identity=self.identity, state="listening", version="0")

    def look(self) -> None:
        """One turn of the loop with nothing to claim."""
        view = scan(self.bucket)
        self.reaper.recover_own_claims(view, self.heartbeat_of(), keep=())
        self.reaper.reap(view)

    def serve(self, job: JobName) -> None:
        """Claim; open before the download and before the inference; beat; deliver."""
        pending = next(item for item in scan(self.bucket).pending if item.name == job)
        claim = self.queue.claim(pending)
        assert claim is not None
        assert self.queue.open(claim) is not None
        assert self.queue.open(claim) is not None
        self.lease.renew(self.heartbeat_of())
        assert self.queue.result(claim.job_id) is None
        self.queue.finish(claim, make_result(claim.job_id, attempt=claim.attempt))
        self.queue.forget_progress(claim.job_id)


def progress(bucket: GcsBucket, manifest: JobManifest) -> None:
    job = HeartbeatJob(job_id=manifest.job_id, attempt=1, stage="infer", percent=10)
    bucket.replace(names.progress_object(manifest.job_id), job.model_dump_json().encode())


def test_a_look_at_an_idle_queue(fake: FakeGcs, bucket: GcsBucket) -> None:
    agent = Agent(bucket)
    assert counted(fake, agent.look) == cost.LOOK
    assert counted(fake, lambda: scan(bucket)) == cost.LOOK


def test_a_look_costs_the_same_whatever_the_history(fake: FakeGcs, bucket: GcsBucket) -> None:
    agent = Agent(bucket)
    for number in range(60):
        bucket.create(f"{names.DONE}{number}.json", b"{}")
        bucket.create(f"{names.RESULTS}{number}.json", b"{}")
    assert counted(fake, agent.look) == cost.LOOK


def test_a_beat(fake: FakeGcs, bucket: GcsBucket) -> None:
    agent = Agent(bucket)
    assert counted(fake, lambda: agent.lease.renew(agent.heartbeat_of())) == cost.HEARTBEAT


def test_a_job_from_submit_to_archive(fake: FakeGcs, bucket: GcsBucket) -> None:
    agent, manifest = Agent(bucket), make_manifest()
    progress(bucket, manifest)
    name = SiteQueue(bucket).submit(make_manifest())
    submitted = counted(fake, lambda: SiteQueue(bucket).submit(manifest))
    job = JobName(priority=name.priority, job_id=manifest.job_id, profile=name.profile, fence=0)
    served = counted(fake, lambda: agent.serve(job))
    # The listing with which the test finds the job is a look, and counted as one.
    assert submitted + served == cost.JOB + cost.LOOK


def test_progress_and_a_users_look_at_it(fake: FakeGcs, bucket: GcsBucket) -> None:
    agent, manifest = Agent(bucket), make_manifest()
    queue = SiteQueue(bucket)
    job = queue.submit(manifest)
    assert agent.queue.claim(scan(bucket).pending[0]) is not None
    assert counted(fake, lambda: progress(bucket, manifest)) == cost.PROGRESS
    # Of the first attempt there is no record yet: asking for it is a read like any other.
    looked = counted(fake, lambda: queue.find(job, scan(bucket)))
    assert looked == cost.PAGE_LOOK
    assert queue.find(job).state is JobState.CLAIMED


def test_every_operation_of_the_api_has_a_class() -> None:
    for operation in OPERATIONS - {"list-buckets"}:
        cost.count([operation])
    with pytest.raises(ValueError, match="no class"):
        cost.count(["unknown"])


def test_the_sites_interval_is_its_commands_own() -> None:
    assert labseg.SYNC_INTERVAL == cost.SYNC_INTERVAL


def test_the_arithmetic() -> None:
    million = Operations(class_a=1_000_000, class_b=1_000_000)
    assert million.dollars == pytest.approx(5.40)
    assert cost.waiting_agent() == Operations(3600 / 15 + 3600 / 30)
    assert (cost.waiting_agent() * cost.HOURS).dollars == pytest.approx(1.314)


def test_the_document_gives_these_figures() -> None:
    text = (ROOT / "infra" / "gcs" / "README.md").read_text(encoding="utf-8")
    for _, operations, dollars in cost.rows():
        assert f"| {operations.class_a:.0f} | {operations.class_b:.0f} | ${dollars:.2f} |" in text


def test_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.gcs.cost"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == len(cost.rows())
