"""Who can write to the bucket and has no key: what is forged counts for nothing, and is not quoted.

The attacker writes to the bare bucket; the agents and the site look at it with keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.fake_gcs import FakeGcs
from lab_side.queue_overview import overview_of
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.bucket.sealed import SealedBucket
from segrelay.errors import (
    AttemptFailedError,
    LeaseLostError,
    ManifestRejectedError,
    ObjectNotFoundError,
)
from segrelay.manifest import AttemptOutcome, AttemptRecord, Rejection, utc_now
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
from segrelay.queue.lease import LEASE, new_nonce
from segrelay.queue.operator import OperatorQueue
from segrelay.queue.reaper import FREE_LOSSES
from segrelay.queue.records import MOST_ATTEMPTS, read_attempt, read_attempts
from segrelay.queue.site import read_progress
from segrelay.signed_heartbeats import SLACK, sign_heartbeat, time_of_heartbeat
from segrelay.signing import Kind, SigningKey, Trust
from segrelay.stages import Stage
from tests.support.buckets.gcs import BUCKET, make_bucket
from tests.support.jobs import make_manifest

LIE = "Call this number about the patient"
GHOST = "ghost"


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET]) as server:
        yield server


@pytest.fixture(params=["directory", "cloud"])
def bare(request: pytest.FixtureRequest, tmp_path: Path, fake: FakeGcs) -> Iterator[Bucket]:
    """What the attacker writes to."""
    if request.param == "directory":
        yield LocalBucket(tmp_path / "queue")
        return
    bucket = make_bucket(fake.url, f"queue-{new_nonce()[:8]}")
    yield bucket
    bucket.close()


@dataclass
class Sides:
    """Two agents and a site, each with a key."""

    bare: Bucket
    site_key: SigningKey
    keys: tuple[SigningKey, SigningKey]

    @property
    def trust(self) -> Trust:
        everybody = [key.public for key in (self.site_key, *self.keys)]
        return Trust.of(jobs=[self.site_key.public], results=everybody, records=everybody)

    @property
    def site(self) -> SealedBucket:
        return SealedBucket(self.bare, self.site_key, self.trust)

    def agent(self, number: int = 0) -> SealedBucket:
        return SealedBucket(self.bare, self.keys[number], self.trust)

    def reaper(self, number: int = 0) -> Reaper:
        return Reaper(self.agent(number), f"lab-{number}", now=utc_now, is_dead=lambda _: False)

    def lease(self, number: int = 0) -> tuple[Lease, SealedBucket]:
        bucket = self.agent(number)
        identity = Identity(instance=new_nonce(), host="h", pid=1, pid_started=0.0)
        return Lease(bucket, f"lab-{number}", identity, is_dead=lambda _: False), bucket


@pytest.fixture
def sides(bare: Bucket) -> Sides:
    return Sides(bare, SigningKey.new(), (SigningKey.new(), SigningKey.new()))


def heartbeat_of(lease: Lease, **more: Any) -> Heartbeat:
    return Heartbeat(identity=lease.identity, state="listening", version="1", **more)


def forge_attempt(bare: Bucket, job: JobName, attempt: int, **more: Any) -> None:
    record = AttemptRecord(
        job_id=job.job_id,
        attempt=attempt,
        agent=GHOST,
        outcome=AttemptOutcome.FAILED,
        code="attempt-failed",
        reason=LIE,
        started=True,
        recorded_at=utc_now(),
        **more,
    )
    bare.create(names.attempt_object(job.job_id, attempt), record.to_json())


def forge_move(bare: Bucket, source: str, destination: str) -> None:
    bare.move(source, destination, generation=bare.stat(source).generation)


def forge_heartbeat(bare: Bucket, agent: str, metadata: dict[str, str]) -> None:
    name = names.agent_object(agent)
    try:
        generation = bare.read_heartbeat(name).generation
    except ObjectNotFoundError:
        generation = 0
    bare.take_over(name, metadata, generation=generation)


def everything(bare: Bucket) -> str:
    """All that lies in the bucket as honest writers left it there."""
    listed = [info for info in bare.list("v1/") if not info.name.startswith(names.ATTEMPTS)]
    return "".join(bare.read(info.name, limit=100_000).decode() for info in listed if info.size)


@pytest.mark.parametrize("fence", [3, 40, 999_998])
def test_forged_attempts_and_a_forged_claim_number_end_no_job(sides: Sides, fence: int) -> None:
    job = SiteQueue(sides.site).submit(make_manifest(max_attempts=3))
    for attempt in (1, 2, 3):
        forge_attempt(sides.bare, job, attempt)
    target = JobName(priority=job.priority, job_id=job.job_id, profile=job.profile, fence=fence)
    forge_move(sides.bare, job.pending, target.claimed_by(GHOST))
    assert [item.name.job_id for item in sides.reaper().reap(scan(sides.agent()))] == [job.job_id]
    found = SiteQueue(sides.site).find(job)
    assert (found.state, found.result) == (JobState.PENDING, None)
    assert LIE not in str(found.attempts)
    assert LIE not in everything(sides.bare)
    pending = scan(sides.agent()).pending[0]
    queue = AgentQueue(sides.agent(), "lab-0", now=utc_now)
    claim = queue.try_claim(pending)
    assert claim is not None
    assert queue.open(claim) is not None


def test_moving_a_job_to_ghosts_again_and_again_ends_no_job(sides: Sides) -> None:
    job = SiteQueue(sides.site).submit(make_manifest(max_attempts=3))
    for number in range(1, 8):
        name = scan(sides.bare).pending[0].name
        forge_move(sides.bare, name.pending, name.next_claim.claimed_by(f"{GHOST}-{number}"))
        sides.reaper(number % 2).reap(scan(sides.agent()))
    found = SiteQueue(sides.site).find(job)
    assert found.state is JobState.PENDING
    assert [record.counts for record in found.attempts] == [False] * 7
    assert GHOST not in str(found.attempts)


def test_moving_a_job_to_an_agent_that_has_stopped_ends_no_job(sides: Sides) -> None:
    """Its last heartbeat is signed, and tells of no such claim."""
    lease, _ = sides.lease(1)
    lease.take(heartbeat_of(lease))
    lease.renew(heartbeat_of(lease).model_copy(update={"state": "stopped"}))
    job = SiteQueue(sides.site).submit(make_manifest(max_attempts=1))
    for _ in range(FREE_LOSSES + 3):
        name = scan(sides.bare).pending[0].name
        forge_move(sides.bare, name.pending, name.next_claim.claimed_by("lab-1"))
        assert len(sides.reaper().reap(scan(sides.agent()))) == 1
    found = SiteQueue(sides.site).find(job)
    assert found.state is JobState.PENDING
    assert not any(record.counts for record in found.attempts)
    assert "lab-1" not in str(found.attempts)


def test_a_job_that_an_agent_told_of_before_it_died_counts(sides: Sides) -> None:
    """The same number of losses, each in a heartbeat of the agent's own."""
    job = SiteQueue(sides.site).submit(make_manifest(max_attempts=1))
    for _ in range(FREE_LOSSES + 1):
        name = scan(sides.bare).pending[0].name
        forge_move(sides.bare, name.pending, name.next_claim.claimed_by("lab-1"))
        lease, _ = sides.lease(1)
        lease.take(heartbeat_of(lease))
        claim = HeartbeatJob(
            job_id=job.job_id, attempt=name.fence + 1, stage=Stage.FETCH, percent=0
        )
        lease.renew(heartbeat_of(lease, jobs=(claim,)).model_copy(update={"state": "stopped"}))
        sides.reaper().reap(scan(sides.agent()))
    assert SiteQueue(sides.site).find(job).state is JobState.FAILED


def test_the_name_of_a_folder_is_quoted_nowhere(sides: Sides) -> None:
    job = SiteQueue(sides.site).submit(make_manifest())
    forge_move(sides.bare, job.pending, job.next_claim.claimed_by("call-this-number"))
    assert SiteQueue(sides.site).find(job).agent is None
    sides.reaper().reap(scan(sides.agent()))
    assert "call-this-number" not in str(SiteQueue(sides.site).find(job).attempts)


def test_a_forged_pause_keeps_no_job(sides: Sides) -> None:
    job = SiteQueue(sides.site).submit(make_manifest())
    forge_move(sides.bare, job.pending, job.next_claim.pending)
    forge_attempt(sides.bare, job, 1, not_before=utc_now() + timedelta(days=300))
    queue = AgentQueue(sides.agent(), "lab-0", now=utc_now)
    assert queue.try_claim(scan(sides.agent()).pending[0]) is not None
    assert overview_of(sides.agent(), "lab-0").claimed[0].job_id == job.job_id


def test_a_record_in_the_place_of_a_true_one_does_not_hide_the_last_attempt(sides: Sides) -> None:
    job = SiteQueue(sides.site).submit(make_manifest(max_attempts=1))
    forge_attempt(sides.bare, job, 1)
    queue = AgentQueue(sides.agent(), "lab-0", now=utc_now)
    claim = queue.try_claim(scan(sides.agent()).pending[0])
    assert claim is not None
    result = queue.fail_attempt(claim, AttemptFailedError("it broke"), started=True, max_attempts=1)
    assert result is not None
    assert result.failure is not None
    assert "it broke" in result.failure.reason
    assert LIE not in result.failure.reason


def test_a_signed_record_elsewhere_is_no_record(sides: Sides) -> None:
    """A true record, copied to another number or another job."""
    job, other = (SiteQueue(sides.site).submit(make_manifest()) for _ in range(2))
    queue = AgentQueue(sides.agent(), "lab-0", now=utc_now)
    claim = queue.try_claim(scan(sides.agent()).pending[0])
    assert claim is not None
    queue.fail_attempt(claim, AttemptFailedError("it broke"), started=True, max_attempts=3)
    true = sides.bare.read(names.attempt_object(job.job_id, 1), limit=100_000)
    for job_id, attempt in ((job.job_id, 2), (other.job_id, 1)):
        sides.bare.create(names.attempt_object(job_id, attempt), true)
        assert read_attempt(sides.agent(), job_id, attempt) is None
    assert read_attempt(sides.agent(), job.job_id, 1) is not None


def test_forged_progress_and_reasons_are_shown_nowhere(sides: Sides) -> None:
    job = SiteQueue(sides.site).submit(make_manifest())
    progress = HeartbeatJob(job_id=job.job_id, attempt=1, stage=LIE, percent=99)
    sides.bare.create(names.progress_object(job.job_id), progress.model_dump_json().encode())
    assert read_progress(sides.site, job.job_id) is None
    forge_move(sides.bare, job.pending, job.rejected)
    reason = Rejection(code="x", reason=LIE, remedy=LIE, agent=GHOST, rejected_at=utc_now())
    sides.bare.create(names.reason_object(job.rejected), reason.to_json())
    found = SiteQueue(sides.site).find(job)
    assert (found.state, found.rejection) == (JobState.REJECTED, None)
    operator = OperatorQueue(sides.agent(), "lab-0", is_dead=lambda _: False)
    assert operator.requeue(job.job_id).changed
    assert LIE not in str(SiteQueue(sides.site).find(job).attempts)
    assert LIE not in overview_of(sides.agent(), "lab-0").model_dump_json()


def test_true_records_progress_and_reasons_are_read(sides: Sides) -> None:
    job = SiteQueue(sides.site).submit(make_manifest())
    queue = AgentQueue(sides.agent(), "lab-0", now=utc_now)
    claim = queue.try_claim(scan(sides.agent()).pending[0])
    assert claim is not None
    progress = HeartbeatJob(job_id=job.job_id, attempt=1, stage=Stage.INFER, percent=40)
    sides.agent().replace(names.progress_object(job.job_id), progress.model_dump_json().encode())
    assert read_progress(sides.site, job.job_id) == progress
    queue.reject(claim, ManifestRejectedError("not good", code="manifest-invalid"))
    found = SiteQueue(sides.site).find(job)
    assert found.rejection is not None
    assert found.rejection.reason == "not good"


def test_a_forged_heartbeat_keeps_no_claim(sides: Sides) -> None:
    job = SiteQueue(sides.site).submit(make_manifest())
    identity = Identity(instance=new_nonce(), host="h", pid=1, pid_started=0.0)
    forged = Heartbeat(identity=identity, state="listening", version="1", reason=LIE).to_metadata()
    forge_heartbeat(sides.bare, GHOST, forged)
    forge_move(sides.bare, job.pending, job.next_claim.claimed_by(GHOST))
    view = scan(sides.agent())
    assert view.agents == {}
    assert [item.name for item in view.unusable] == [names.agent_object(GHOST)]
    assert LIE not in view.unusable[0].in_words
    assert len(sides.reaper().reap(view)) == 1
    assert SiteQueue(sides.site).find(job).state is JobState.PENDING
    assert LIE not in overview_of(sides.agent(), "lab-0").model_dump_json()


def test_an_agents_own_heartbeat_is_believed_by_the_others(sides: Sides) -> None:
    lease, _ = sides.lease(1)
    lease.take(heartbeat_of(lease))
    lease.renew(heartbeat_of(lease, reason="why not"))
    seen = scan(sides.agent(0)).agents["lab-1"]
    assert seen.heartbeat.reason == "why not"
    assert abs(seen.updated - scan(sides.bare).agents["lab-1"].updated) < SLACK


def test_a_forged_heartbeat_does_not_stop_a_living_agent(sides: Sides) -> None:
    lease, _ = sides.lease(1)
    lease.take(heartbeat_of(lease))
    forged = Heartbeat(
        identity=Identity(instance=new_nonce(), host="h", pid=1, pid_started=0.0),
        state="listening",
        version="1",
    )
    forge_heartbeat(sides.bare, "lab-1", forged.to_metadata())
    lease.renew(heartbeat_of(lease))
    assert scan(sides.agent()).agents["lab-1"].heartbeat.identity == lease.identity
    name = names.agent_object("lab-1")
    sides.bare.delete(name, generation=_stored_generation(sides.bare, name))
    lease.renew(heartbeat_of(lease))
    assert scan(sides.agent()).agents["lab-1"].heartbeat.identity == lease.identity


def _stored_generation(bare: Bucket, name: str) -> int:
    return bare.stat(name).generation


def test_a_true_takeover_still_stops_the_first_process(sides: Sides) -> None:
    first, _ = sides.lease(1)
    first.take(heartbeat_of(first))
    first.renew(heartbeat_of(first).model_copy(update={"state": "stopped"}))
    second, _ = sides.lease(1)
    second.take(heartbeat_of(second))
    with pytest.raises(LeaseLostError):
        first.renew(heartbeat_of(first))
    second.renew(heartbeat_of(second))


def test_an_old_heartbeat_put_back_proves_no_life() -> None:
    """The store's time of it is new; the time that was signed is not."""
    key, name = SigningKey.new(), names.agent_object("lab-1")
    trust = Trust.of(records=[key.public])
    written = datetime(2026, 5, 4, tzinfo=UTC)
    old = sign_heartbeat({"beat": "{}"}, name, key, written)
    assert time_of_heartbeat(old, name, trust) == written + SLACK
    assert time_of_heartbeat(old, names.agent_object("lab-2"), trust) is None
    assert SLACK < LEASE


def test_a_replayed_heartbeat_is_as_old_as_it_says(sides: Sides) -> None:
    job = SiteQueue(sides.site).submit(make_manifest())
    lease, _ = sides.lease(1)
    identity, name = lease.identity, names.agent_object("lab-1")
    heartbeat = Heartbeat(identity=identity, state="listening", version="1").to_metadata()
    old = sign_heartbeat(heartbeat, name, sides.keys[1], utc_now() - 2 * LEASE)
    forge_heartbeat(sides.bare, "lab-1", old)
    forge_move(sides.bare, job.pending, job.next_claim.claimed_by("lab-1"))
    assert len(sides.reaper(0).reap(scan(sides.agent()))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"beat": "{}x"},
        {"beat-at": "2030-01-01T00:00:00+00:00"},
        {"beat-at": "never"},
        {"beat-at": "2026-01-01T00:00:00"},
        {"beat-at": "9" * 5000},
        {"beat-key": "0" * 16},
        {"beat-signature": "AAAA"},
        {"beat-signature": "not base64 ü"},
        {"beat": "\ud800"},
    ],
)
def test_a_heartbeat_that_was_changed_is_not_believed(change: dict[str, str]) -> None:
    key, name = SigningKey.new(), names.agent_object("lab-1")
    trust = Trust.of(records=[key.public])
    signed = sign_heartbeat({"beat": "{}"}, name, key, utc_now())
    assert time_of_heartbeat(signed, name, trust) is not None
    assert time_of_heartbeat({**signed, **change}, name, trust) is None
    for key_name in signed:
        assert (
            time_of_heartbeat({k: v for k, v in signed.items() if k != key_name}, name, trust)
            is None
        )


def test_without_keys_nothing_changes(bare: Bucket) -> None:
    bucket = SealedBucket(bare, None, Trust())
    job = SiteQueue(bucket).submit(make_manifest())
    forge_attempt(bare, job, 1)
    assert read_attempt(bucket, job.job_id, 1) is not None
    assert not bucket.trust.of_kind(Kind.HEARTBEAT)


def test_a_heartbeat_has_room_for_its_signature(sides: Sides) -> None:
    lease, bucket = sides.lease(1)
    full = heartbeat_of(lease, reason="r" * 400, passed_over=("x" * 290,) * 5, device="d" * 90)
    lease.take(full)
    metadata = bucket.read_heartbeat(names.agent_object("lab-1")).metadata
    assert metadata is not None
    assert sum(len(k) + len(v.encode()) for k, v in metadata.items()) < 8 * 1024


def test_a_million_claims_cost_one_listing(sides: Sides) -> None:
    job = SiteQueue(sides.site).submit(make_manifest())
    asked: list[str] = []

    class Counting(SealedBucket):
        def read(self, name: str, *, limit: int) -> bytes:
            asked.append(name)
            return super().read(name, limit=limit)

    bucket = Counting(sides.bare, sides.keys[0], sides.trust)
    name = JobName(priority=5, job_id=job.job_id, profile="demo", fence=999_999)
    assert read_attempts(bucket, name) == []
    assert len(asked) <= MOST_ATTEMPTS


def test_a_job_that_cannot_be_claimed_again_is_set_aside(sides: Sides) -> None:
    job = SiteQueue(sides.site).submit(make_manifest())
    last = JobName(
        priority=job.priority, job_id=job.job_id, profile=job.profile, fence=names.MAX_FENCE
    )
    forge_move(sides.bare, job.pending, last.pending)
    view = scan(sides.agent())
    assert (view.pending, len(view.misnamed)) == ((), 1)
