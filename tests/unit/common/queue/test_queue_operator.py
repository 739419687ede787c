"""What an operator may do with a job, in every state it can be in; and with a fault anywhere."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lab_side.queue_overview import REJECTED_SHOWN, overview_of
from segrelay import names
from segrelay.bucket import Bucket, ObjectInfo
from segrelay.bucket.local import LocalBucket
from segrelay.errors import (
    AttemptFailedError,
    ManifestRejectedError,
    OrthancUnavailableError,
    StoreUnavailableError,
)
from segrelay.manifest import JobManifest
from segrelay.names import JobName
from segrelay.queue import (
    AgentQueue,
    Claim,
    Heartbeat,
    HeartbeatJob,
    Identity,
    JobState,
    Reaper,
    SiteQueue,
    scan,
)
from segrelay.queue.lease import store_now
from segrelay.queue.operator import JobEndedError, JobInWorkError, JobUnknownError, OperatorQueue
from segrelay.queue.records import read_attempt
from segrelay.ulid import new_ulid
from tests.support.buckets.faulty_bucket import Fault, FaultyBucket, SimulatedCrash
from tests.support.jobs import NOW, make_identity, make_manifest, make_result
from tests.unit.common.queue.test_queue_crashes import FOLDERS, Life

MOST_OPERATIONS = 60
"""More than any command below needs; reaching it means that the loop never ended."""

LATER = timedelta(minutes=10)

REFUSED = ManifestRejectedError("Too new.", code="schema-newer", remedy="Update the agent.")

NewBucket = Callable[[], Bucket]


@pytest.fixture
def new_bucket(tmp_path: Path) -> NewBucket:
    """Makes empty queues."""
    made: list[Bucket] = []

    def make() -> Bucket:
        made.append(LocalBucket(tmp_path / f"{len(made)}"))
        return made[-1]

    return make


@pytest.fixture
def bucket(new_bucket: NewBucket) -> Bucket:
    """An empty queue."""
    return new_bucket()


class Owner:
    """An agent that lives elsewhere: what it wrote is all that is known of it."""

    def __init__(self, bucket: Bucket, agent: str = "lab-9") -> None:
        self.bucket = bucket
        self.agent = agent
        self.identity = make_identity("elsewhere", pid=9)
        self.queue = AgentQueue(bucket, agent, now=lambda: store_now(bucket, "test"))

    def claim(self, *, state: str = "listening", started: bool = True) -> JobName:
        """Claim the first job and tell so in a heartbeat."""
        claim = self.queue.claim(scan(self.bucket).pending[0])
        assert claim is not None
        job = HeartbeatJob(
            job_id=claim.job_id, attempt=claim.attempt, stage="infer", percent=40, started=started
        )
        self.heartbeat(job, state=state)
        return claim.name

    def heartbeat(self, *jobs: HeartbeatJob, state: str = "listening", reason: str = "") -> None:
        heartbeat = Heartbeat(
            identity=self.identity,
            state=state,
            reason=reason,
            version="1.2",
            profiles=("demo",),
            device="NVIDIA H200",
            jobs=jobs,
        )
        name = names.agent_object(self.agent)
        known = scan(self.bucket).agents
        generation = self.bucket.read_heartbeat(name).generation if self.agent in known else 0
        self.bucket.take_over(name, heartbeat.to_metadata(), generation=generation)


def queue(bucket: Bucket, *, dead: tuple[Identity, ...] = ()) -> OperatorQueue:
    return OperatorQueue(bucket, "lab-1", is_dead=lambda identity: identity in dead)


def submit(bucket: Bucket, **changes: object) -> JobManifest:
    manifest = make_manifest(**changes)  # type: ignore[arg-type]
    SiteQueue(bucket).submit(manifest)
    return manifest


def reject(bucket: Bucket) -> None:
    """An agent sets the first job aside."""
    agent = Owner(bucket)
    claim = agent.queue.claim(scan(bucket).pending[0])
    assert claim is not None
    agent.queue.reject(claim, REFUSED)


def make_wait(bucket: Bucket) -> None:
    """An agent hands the first job back for a while."""
    agent = Owner(bucket)
    claim = agent.queue.claim(scan(bucket).pending[0])
    assert claim is not None
    agent.queue.hand_back(claim, OrthancUnavailableError("away"), started=False, wait=LATER)


def places(bucket: Bucket, job_id: str) -> list[str]:
    """The folders in which the job's manifest lies."""
    return [
        info.name.removeprefix("v1/").rpartition("/")[0]
        for folder in FOLDERS
        for info in bucket.list(f"v1/{folder}/")
        if job_id in info.name and not info.name.endswith(".reason.json")
    ]


def results(bucket: Bucket) -> int:
    return len(bucket.list(names.RESULTS))


class TestCancel:
    """``cancel``."""

    def test_a_waiting_job_ends_at_once(self, bucket: Bucket) -> None:
        job = submit(bucket)
        done = queue(bucket).cancel(job.job_id)
        assert (done.state, done.author, done.agent) == (JobState.CANCELLED, "lab-1", None)
        assert places(bucket, job.job_id) == ["done"]
        assert queue(bucket).cancel(job.job_id) == done
        assert results(bucket) == 1

    def test_a_claimed_job_is_seen_as_cancelled_by_its_owner(self, bucket: Bucket) -> None:
        job = submit(bucket)
        owner = Owner(bucket)
        name = owner.claim()
        assert queue(bucket).cancel(job.job_id).agent == "lab-9"
        assert overview_of(bucket, "lab-1").claimed[0].ended is JobState.CANCELLED
        (claimed,) = scan(bucket).claimed
        assert claimed.name == name
        late = owner.queue.result(job.job_id)
        assert late is not None
        assert late.status.value == "cancelled"

    @pytest.mark.parametrize("known", [False, True], ids=["typo", "not-an-id"])
    def test_an_unknown_job_gets_no_result(self, bucket: Bucket, known: bool) -> None:
        submit(bucket)
        with pytest.raises(JobUnknownError) as caught:
            queue(bucket).cancel("../results" if known else new_ulid())
        assert caught.value.remedy
        assert results(bucket) == 0

    def test_a_finished_job_keeps_its_result(self, bucket: Bucket) -> None:
        job = submit(bucket)
        Life(bucket).work()
        done = queue(bucket).cancel(job.job_id)
        assert (done.state, done.author) == (JobState.SUCCEEDED, "lab-1")
        assert results(bucket) == 1

    def test_a_rejected_job_stays_rejected(self, bucket: Bucket) -> None:
        job = submit(bucket)
        reject(bucket)
        assert queue(bucket).cancel(job.job_id).state is JobState.REJECTED
        assert results(bucket) == 0

    def test_an_unreadable_result_stands(self, bucket: Bucket) -> None:
        job = submit(bucket)
        bucket.create(names.result_object(job.job_id), b"{")
        assert queue(bucket).cancel(job.job_id).state is JobState.RESULT_UNREADABLE
        assert bucket.read(names.result_object(job.job_id), limit=9) == b"{"

    def test_a_copy_that_still_waits_is_archived(self, bucket: Bucket) -> None:
        job = submit(bucket)
        bucket.create(names.result_object(job.job_id), make_result(job.job_id).to_json())
        assert queue(bucket).cancel(job.job_id).state is JobState.SUCCEEDED
        assert places(bucket, job.job_id) == ["done"]


class TestRequeue:
    """``requeue``."""

    @pytest.mark.parametrize("data", [None, b"{"], ids=["readable", "unreadable"])
    def test_a_job_with_a_result_is_run_again_as_a_new_one(
        self, bucket: Bucket, data: bytes | None
    ) -> None:
        job = submit(bucket)
        result = make_result(job.job_id).to_json() if data is None else data
        bucket.create(names.result_object(job.job_id), result)
        with pytest.raises(JobEndedError) as caught:
            queue(bucket).requeue(job.job_id, force=True)
        assert f"labseg retry {job.job_id}" in caught.value.remedy

    def test_an_unknown_job(self, bucket: Bucket) -> None:
        with pytest.raises(JobUnknownError):
            queue(bucket).requeue(new_ulid())

    def test_a_rejected_job_comes_back_with_its_rejection_recorded(self, bucket: Bucket) -> None:
        job = submit(bucket)
        reject(bucket)
        done = queue(bucket).requeue(job.job_id)
        assert (done.was, done.state, done.changed) == (
            JobState.REJECTED,
            JobState.PENDING,
            True,
        )
        (pending,) = scan(bucket).pending
        assert pending.name.fence == 1
        assert bucket.read(pending.info.name, limit=10_000) == job.to_json()
        record = read_attempt(bucket, job.job_id, 1)
        assert record is not None
        assert (record.code, record.agent, record.counts) == ("schema-newer", "lab-9", False)
        assert "Too new." in record.reason
        assert bucket.list(names.REJECTED) == []
        assert Owner(bucket).queue.may_claim(pending)

    def test_a_rejected_jobs_claims_are_counted_on(self, bucket: Bucket) -> None:
        """A number used again would hide how that attempt ended."""
        job = submit(bucket)
        for _ in range(2):
            make_wait(bucket)
        reject(bucket)
        assert queue(bucket).requeue(job.job_id).changed
        assert scan(bucket).pending[0].name.fence == 3
        reject(bucket)
        queue(bucket).requeue(job.job_id)
        assert scan(bucket).pending[0].name.fence == 4
        codes = [getattr(read_attempt(bucket, job.job_id, n), "code", None) for n in range(1, 5)]
        assert codes == ["orthanc-unavailable"] * 2 + ["schema-newer"] * 2

    def test_a_rejected_job_whose_reason_is_gone(self, bucket: Bucket) -> None:
        job = submit(bucket)
        reject(bucket)
        (reason,) = [i for i in bucket.list(names.REJECTED) if i.name.endswith(".reason.json")]
        bucket.delete(reason.name, generation=reason.generation)
        assert queue(bucket).requeue(job.job_id).state is JobState.PENDING
        record = read_attempt(bucket, job.job_id, 1)
        assert record is not None
        assert (record.code, record.agent) == ("rejected", "lab-1")

    def test_a_dead_owners_claim_comes_back_as_the_reaper_would_do_it(self, bucket: Bucket) -> None:
        job = submit(bucket)
        Owner(bucket).claim(state="stopped")
        done = queue(bucket).requeue(job.job_id)
        assert (done.was, done.agent, done.forced) == (JobState.CLAIMED, "lab-9", False)
        record = read_attempt(bucket, job.job_id, 1)
        assert record is not None
        assert (record.code, record.counts) == ("agent-lost", True)
        assert places(bucket, job.job_id) == ["jobs/pending"]

    def test_an_owner_whose_process_on_this_host_is_gone_is_dead(self, bucket: Bucket) -> None:
        job = submit(bucket)
        owner = Owner(bucket)
        owner.claim()
        assert not queue(bucket, dead=(owner.identity,)).requeue(job.job_id).forced

    def test_an_owner_of_this_very_agent_id_can_be_dead_too(self, bucket: Bucket) -> None:
        job = submit(bucket)
        Owner(bucket, "lab-1").claim(state="stopped")
        assert queue(bucket).requeue(job.job_id).agent == "lab-1"

    def test_a_living_owner_keeps_its_claim(self, bucket: Bucket) -> None:
        job = submit(bucket)
        Owner(bucket).claim()
        with pytest.raises(JobInWorkError) as caught:
            queue(bucket).requeue(job.job_id)
        assert "lab-9" in caught.value.message
        assert "--force" in caught.value.remedy
        assert places(bucket, job.job_id) == ["jobs/claimed/lab-9"]
        assert bucket.list(names.ATTEMPTS) == []

    @pytest.mark.parametrize("started", [False, True])
    def test_force_takes_a_claim_from_a_living_owner(self, bucket: Bucket, started: bool) -> None:
        job = submit(bucket)
        owner = Owner(bucket)
        name = owner.claim(started=started)
        done = queue(bucket).requeue(job.job_id, force=True)
        assert (done.agent, done.forced, done.state) == ("lab-9", True, JobState.PENDING)
        record = read_attempt(bucket, job.job_id, 1)
        assert record is not None
        assert (record.outcome.value, record.code) == ("lost", "taken-by-operator")
        assert record.counts is started
        assert "still beating" in record.reason
        # The owner was alive: what it does now changes nothing.
        late = Claim(name=name, agent=owner.agent)
        owner.queue.archive(late, make_result(job.job_id).status)
        assert places(bucket, job.job_id) == ["jobs/pending"]

    def test_a_job_without_attempts_left_fails_as_the_reaper_would_have_it(
        self, bucket: Bucket
    ) -> None:
        job = submit(bucket, max_attempts=1)
        Owner(bucket).claim(state="stopped")
        assert queue(bucket).requeue(job.job_id).state is JobState.FAILED
        assert places(bucket, job.job_id) == ["failed"]

    def test_a_job_that_waits_may_be_claimed_at_once(self, bucket: Bucket) -> None:
        job = submit(bucket)
        make_wait(bucket)
        (waiting,) = scan(bucket).pending
        assert not Owner(bucket).queue.may_claim(waiting)
        done = queue(bucket).requeue(job.job_id)
        assert (done.was, done.changed) == (JobState.PENDING, True)
        (pending,) = scan(bucket).pending
        assert pending.name.fence == 2
        assert Owner(bucket).queue.may_claim(pending)
        record = read_attempt(bucket, job.job_id, 2)
        assert record is not None
        assert (record.code, record.counts) == ("hurried-by-operator", False)
        assert not queue(bucket).requeue(job.job_id).changed

    def test_a_wait_after_a_failure_ends_too_and_the_failure_still_counts(
        self, bucket: Bucket
    ) -> None:
        job = submit(bucket, max_attempts=2)
        owner = Owner(bucket)
        claim = owner.queue.claim(scan(bucket).pending[0])
        assert claim is not None
        owner.queue.fail_attempt(claim, AttemptFailedError("x"), started=True, max_attempts=2)
        assert queue(bucket).requeue(job.job_id).changed
        owner.claim(state="stopped")
        assert queue(bucket).requeue(job.job_id).state is JobState.FAILED

    def test_a_fresh_job_is_left_where_it_is(self, bucket: Bucket) -> None:
        job = submit(bucket)
        before = bucket.list(names.PENDING)
        done = queue(bucket).requeue(job.job_id)
        assert (done.state, done.changed) == (JobState.PENDING, False)
        assert bucket.list(names.PENDING) == before

    def test_a_claim_won_meanwhile_is_not_recorded_over(self, bucket: Bucket) -> None:
        job = submit(bucket)
        make_wait(bucket)
        (waiting,) = scan(bucket).pending
        assert Owner(bucket).queue.claim(waiting) is not None
        stale = OperatorQueue(_Stale(bucket, waiting.info.name), "lab-1", is_dead=lambda _: False)
        assert not stale.requeue(job.job_id).changed
        assert read_attempt(bucket, job.job_id, 2) is None

    def test_a_job_called_off_meanwhile_is_archived(self, bucket: Bucket) -> None:
        job = submit(bucket)
        reject(bucket)
        late = _CancelsBeforeMoves(bucket, job.job_id)
        done = OperatorQueue(late, "lab-1", is_dead=lambda _: False).requeue(job.job_id)
        assert done.state is JobState.CANCELLED
        assert places(bucket, job.job_id) == ["done"]

    def test_a_move_whose_answer_was_lost_below_is_recorded(self, bucket: Bucket) -> None:
        job = submit(bucket)
        make_wait(bucket)
        deaf = OperatorQueue(_LosesMoves(bucket), "lab-1", is_dead=lambda _: False)
        assert deaf.requeue(job.job_id).changed
        assert read_attempt(bucket, job.job_id, 2) is not None


class _LosesMoves(FaultyBucket):
    """A client that repeats a won move by itself, and then finds no source."""

    def __init__(self, inner: Bucket) -> None:
        super().__init__(inner, at=0, fault=Fault.LOST_REQUEST)

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        super().move(source, destination, generation=generation)
        return super().move(source, destination, generation=generation)


class _Stale(FaultyBucket):
    """Lists an object where it no longer is, for a command that looked a moment too early."""

    def __init__(self, inner: Bucket, name: str) -> None:
        super().__init__(inner, at=0, fault=Fault.LOST_REQUEST)
        (claimed,) = scan(inner).claimed
        self._gone = claimed.info
        self._name = name

    def list(self, prefix: str) -> list[ObjectInfo]:
        found = [info for info in super().list(prefix) if info.name != self._gone.name]
        if self._name.startswith(prefix):
            found.append(replace(self._gone, name=self._name))
        return found


class _CancelsBeforeMoves(FaultyBucket):
    """The job's user calls it off right before the operator's move."""

    def __init__(self, inner: Bucket, job_id: str) -> None:
        super().__init__(inner, at=0, fault=Fault.LOST_REQUEST)
        self._job_id = job_id

    def move(self, source: str, destination: str, *, generation: int) -> ObjectInfo:
        if source.startswith(names.REJECTED):
            SiteQueue(self._inner).cancel(self._job_id, now=NOW)
        return super().move(source, destination, generation=generation)


class TestOverview:
    """``queue``."""

    def test_an_empty_queue(self, bucket: Bucket) -> None:
        seen = overview_of(bucket, "lab-1")
        assert (seen.agents, seen.claimed, seen.pending, seen.rejected) == ((), (), (), ())
        assert seen.queue == bucket.describe()

    def test_everything_at_once(self, bucket: Bucket) -> None:
        set_aside = submit(bucket, priority=0)
        reject(bucket)
        waiting = submit(bucket, priority=1)
        make_wait(bucket)
        working = submit(bucket, priority=0)
        owner = Owner(bucket)
        owner.claim()
        urgent, foreign = submit(bucket, priority=0), submit(bucket, profile="other")
        bucket.create(f"{names.PENDING}by hand.json", b"{}")
        owner_heartbeat = HeartbeatJob(job_id=working.job_id, attempt=1, stage="infer", percent=40)
        owner.heartbeat(owner_heartbeat, state="waiting", reason="Orthanc is away.")

        seen = overview_of(bucket, "lab-1")
        (agent,) = seen.agents
        assert (agent.agent, agent.state, agent.reason) == ("lab-9", "waiting", "Orthanc is away.")
        assert (agent.device, agent.host, agent.lease_over) == ("NVIDIA H200", "elsewhere", False)
        assert 0 <= agent.beat_age_seconds < 120
        (claim,) = seen.claimed
        assert (claim.job_id, claim.agent, claim.attempt) == (working.job_id, "lab-9", 1)
        assert (claim.stage, claim.percent, claim.owner_alive) == ("infer", 40, True)
        assert claim.ended is None
        assert [job.job_id for job in seen.pending] == [
            urgent.job_id,
            waiting.job_id,
            foreign.job_id,
        ]
        assert [job.served for job in seen.pending] == [True, True, False]
        assert [job.claims for job in seen.pending] == [0, 1, 0]
        assert seen.pending[0].not_before is None
        assert seen.pending[1].not_before is not None
        assert seen.pending[1].not_before > seen.store_time
        assert seen.misnamed == (f"{names.PENDING}by hand.json",)
        (rejected,) = seen.rejected
        assert (rejected.job_id, rejected.code) == (set_aside.job_id, "schema-newer")
        assert (rejected.remedy, rejected.agent) == ("Update the agent.", "lab-9")
        assert json.loads(seen.model_dump_json())["rejected_total"] == 1

    def test_finer_progress_goes_before_the_heartbeat_unless_it_is_old(
        self, bucket: Bucket
    ) -> None:
        job = submit(bucket)
        Owner(bucket).claim()
        for attempt, stage in ((1, "restore"), (7, "infer")):
            told = HeartbeatJob(job_id=job.job_id, attempt=attempt, stage="restore", percent=90)
            bucket.replace(names.progress_object(job.job_id), told.model_dump_json().encode())
            assert overview_of(bucket, "lab-1").claimed[0].stage == stage

    def test_a_silent_owner_is_told(self, bucket: Bucket) -> None:
        submit(bucket)
        Owner(bucket).claim(state="stopped")
        submit(bucket)
        seen = overview_of(bucket, "lab-1")
        assert not seen.claimed[0].owner_alive
        assert not seen.pending[0].served

    def test_a_silent_agents_lease_runs_out_by_the_stores_clock(self, bucket: Bucket) -> None:
        Owner(bucket).heartbeat()
        late = overview_of(_Late(bucket), "lab-1")
        assert late.agents[0].lease_over
        assert late.agents[0].beat_age_seconds > 120

    def test_rejections_are_bounded_newest_first(self, bucket: Bucket) -> None:
        for number in range(REJECTED_SHOWN + 2):
            bucket.create(f"{names.REJECTED}copy {number}.json", b"{}")
        seen = overview_of(bucket, "lab-1")
        assert (len(seen.rejected), seen.rejected_total) == (REJECTED_SHOWN, REJECTED_SHOWN + 2)
        shown = {item.file for item in seen.rejected}
        assert shown.isdisjoint({"copy 0.json", "copy 1.json"})
        assert {(item.job_id, item.code) for item in seen.rejected} == {(None, "")}

    def test_looking_changes_nothing_but_the_operators_own_beacon(self, bucket: Bucket) -> None:
        submit(bucket)
        owner = Owner(bucket, "lab-1")
        owner.claim()
        before = {info.name: info.generation for info in bucket.list("")}
        heartbeat = bucket.read_heartbeat(names.agent_object("lab-1"))
        overview_of(bucket, "lab-1")
        after = {info.name: info.generation for info in bucket.list("")}
        assert bucket.read_heartbeat(names.agent_object("lab-1")) == heartbeat
        assert {n: after[n] for n in before} == before
        assert set(after) - set(before) <= {f"{names.PROBE}lab-1.json"}


class _Late(FaultyBucket):
    """A store whose clock is far ahead of every earlier write."""

    def __init__(self, inner: Bucket) -> None:
        super().__init__(inner, at=0, fault=Fault.LOST_REQUEST)

    def take_over(self, name: str, metadata: Mapping[str, str], *, generation: int) -> ObjectInfo:
        info = super().take_over(name, metadata, generation=generation)
        return replace(info, updated=info.updated + timedelta(minutes=3))


Prepare = Callable[[Bucket], None]


def claim_and_die(bucket: Bucket) -> None:
    Owner(bucket).claim(state="stopped")


def claim_and_hang(bucket: Bucket) -> None:
    Owner(bucket).claim()


def nothing(_: Bucket) -> None:
    pass


REQUEUED: list[Prepare] = [reject, claim_and_die, claim_and_hang, make_wait, nothing]


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("prepare", REQUEUED, ids=lambda way: getattr(way, "__name__", ""))
def test_i1_i3_whatever_breaks_while_requeueing_the_job_ends_once(
    new_bucket: NewBucket, fault: Fault, prepare: Prepare
) -> None:
    def requeue(bucket: Bucket, job_id: str) -> None:
        queue(bucket).requeue(job_id, force=True)

    for bucket, job in _with_faults(new_bucket, fault, prepare, requeue, least=4):
        assert len(places(bucket, job.job_id)) == 1
        assert results(bucket) == 0
        queue(bucket).requeue(job.job_id, force=True)
        _serve(bucket)
        _assert_settled(bucket, job)


@pytest.mark.parametrize("fault", Fault)
def test_a_rejection_is_recorded_once_and_before_the_job_is_back(
    new_bucket: NewBucket, fault: Fault
) -> None:
    def requeue(bucket: Bucket, job_id: str) -> None:
        queue(bucket).requeue(job_id)

    for bucket, job in _with_faults(new_bucket, fault, reject, requeue, least=6):
        if scan(bucket).pending:
            assert read_attempt(bucket, job.job_id, 1) is not None
        queue(bucket).requeue(job.job_id)
        assert [item.name.fence for item in scan(bucket).pending] == [1]
        assert len(bucket.list(names.ATTEMPTS)) == 1
        assert bucket.list(names.REJECTED) == []


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize(
    ("prepare", "repeat"),
    [(nothing, False), (nothing, True), (claim_and_die, False), (make_wait, True)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_i1_i3_whatever_breaks_while_cancelling_the_job_ends_once(
    new_bucket: NewBucket, fault: Fault, prepare: Prepare, repeat: bool
) -> None:
    def cancel(bucket: Bucket, job_id: str) -> None:
        queue(bucket).cancel(job_id)

    for bucket, job in _with_faults(new_bucket, fault, prepare, cancel, least=5):
        if repeat:
            assert queue(bucket).cancel(job.job_id).state is JobState.CANCELLED
        _serve(bucket)
        _assert_settled(bucket, job)


def _with_faults(
    new_bucket: NewBucket,
    fault: Fault,
    prepare: Prepare,
    way: Callable[[Bucket, str], None],
    *,
    least: int,
) -> Iterator[tuple[Bucket, JobManifest]]:
    """Queues in which ``way`` broke at operation 1, 2, 3 … until it runs through."""
    for at in range(1, MOST_OPERATIONS):
        bucket = new_bucket()
        job = submit(bucket)
        prepare(bucket)
        faulty = FaultyBucket(bucket, at=at, fault=fault)
        with contextlib.suppress(SimulatedCrash, StoreUnavailableError):
            way(faulty, job.job_id)
        yield bucket, job
        if faulty.operations < at:
            assert at > least
            return
    raise AssertionError("the command never ran through")


def _serve(bucket: Bucket) -> None:
    """Two lives of an agent; whoever had the job before is dead by then."""
    for _ in range(2):
        life = Life(bucket)
        life.work()
        reaper = Reaper(bucket, "lab-1", now=life.lease.now, is_dead=lambda _: True)
        reaper.reap(scan(bucket))


def _assert_settled(bucket: Bucket, job: JobManifest) -> None:
    """I1: in exactly one place, unchanged; I3: with exactly one result."""
    assert places(bucket, job.job_id) == ["done"]
    (archived,) = bucket.list(names.DONE)
    assert bucket.read(archived.name, limit=100_000) == job.to_json()
    assert results(bucket) == 1
