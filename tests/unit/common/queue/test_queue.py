"""The queue's transitions, one by one; each invariant has a test named after it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from segrelay import names
from segrelay.bucket.local import LocalBucket
from segrelay.errors import (
    AttemptFailedError,
    LeaseLostError,
    ManifestRejectedError,
    OrthancUnavailableError,
    TransientError,
)
from segrelay.manifest import ResultStatus
from segrelay.queue import (
    AgentQueue,
    Claim,
    Heartbeat,
    HeartbeatJob,
    Identity,
    JobState,
    Lease,
    Reaper,
    SiteQueue,
    scan,
)
from segrelay.queue.lease import LEASE, store_now
from segrelay.queue.records import read_attempt
from segrelay.stages import Stage
from tests.support.jobs import NOW, make_identity, make_manifest, make_result


class Clock:
    """A monotonic clock that tests set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Lab:
    """One agent of a test, without processes."""

    def __init__(
        self,
        bucket: LocalBucket,
        agent: str = "lab-1",
        host: str = "host-a",
        labels: tuple[str, ...] = (),
    ) -> None:
        self.bucket = bucket
        self.agent = agent
        self.clock = Clock()
        self.dead: set[str] = set()
        self.identity = make_identity(host)
        self.lease = Lease(
            bucket, agent, self.identity, is_dead=self._is_dead, monotonic=self.clock
        )
        self.queue = AgentQueue(bucket, agent, now=self.lease.now, labels=labels)
        self.reaper = Reaper(bucket, agent, now=self.lease.now, is_dead=self._is_dead)

    def start(self) -> Heartbeat | None:
        return self.lease.take(self.heartbeat())

    def heartbeat(self, *jobs: HeartbeatJob, state: str = "listening") -> Heartbeat:
        return Heartbeat(identity=self.identity, state=state, version="0", jobs=jobs)

    def claim(self) -> Claim:
        claim = self.queue.claim(scan(self.bucket).pending[0])
        assert claim is not None
        return claim

    def _is_dead(self, identity: Identity) -> bool:
        return identity.instance in self.dead


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path)


@pytest.fixture
def site(bucket: LocalBucket) -> SiteQueue:
    return SiteQueue(bucket)


@pytest.fixture
def lab(bucket: LocalBucket) -> Lab:
    lab = Lab(bucket)
    lab.start()
    return lab


def places(bucket: LocalBucket, job_id: str) -> list[str]:
    """The folders in which the job's manifest lies."""
    folders = ("jobs/pending", "jobs/claimed", "done", "failed", "rejected")
    return [
        folder
        for folder in folders
        for info in bucket.list(f"v1/{folder}/")
        if job_id in info.name and not info.name.endswith(".reason.json")
    ]


def test_the_whole_way_of_a_job(bucket: LocalBucket, site: SiteQueue, lab: Lab) -> None:
    manifest = make_manifest()
    name = site.submit(manifest)
    assert site.find(name).state is JobState.PENDING
    claim = lab.claim()
    assert (claim.attempt, lab.queue.open(claim)) == (1, manifest)
    where = site.find(name)
    assert (where.state, where.agent, where.attempt) == (JobState.CLAIMED, "lab-1", 1)
    result = make_result(manifest.job_id)
    assert lab.queue.finish(claim, result) == result
    assert site.find(name).result == result
    assert places(bucket, manifest.job_id) == ["done"]
    archived = bucket.list(names.DONE)[0].name
    assert bucket.read(archived, limit=10_000) == manifest.to_json()


def test_priority_then_age_is_the_order_of_service(bucket: LocalBucket, site: SiteQueue) -> None:
    first, second, urgent = make_manifest(), make_manifest(), make_manifest(priority=0)
    for manifest in (second, first, urgent):
        site.submit(manifest)
    served = [job.name.job_id for job in scan(bucket).pending]
    assert served == [urgent.job_id, *sorted([first.job_id, second.job_id])]


def test_submitting_twice_publishes_once(bucket: LocalBucket, site: SiteQueue) -> None:
    manifest = make_manifest()
    assert site.submit(manifest) == site.submit(manifest)
    assert len(scan(bucket).pending) == 1


def test_two_agents_one_winner(bucket: LocalBucket, site: SiteQueue, lab: Lab) -> None:
    other = Lab(bucket, "lab-2")
    other.start()
    site.submit(make_manifest())
    pending = scan(bucket).pending[0]
    assert lab.queue.claim(pending) is not None
    assert other.queue.claim(pending) is None


def test_i3_a_second_result_is_thrown_away(bucket: LocalBucket, site: SiteQueue, lab: Lab) -> None:
    manifest = make_manifest()
    site.submit(manifest)
    claim = lab.claim()
    first = make_result(manifest.job_id)
    assert lab.queue.finish(claim, first) == first
    assert lab.queue.finish(claim, make_result(manifest.job_id, "lab-2")) == first


def test_a_job_with_a_result_is_archived_and_never_run(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    manifest = make_manifest()
    name = site.submit(manifest)
    assert site.cancel(manifest.job_id, now=NOW).status is ResultStatus.CANCELLED
    assert places(bucket, manifest.job_id) == ["done"]
    site.submit(manifest)
    assert places(bucket, manifest.job_id) == ["done"]
    bucket.create(name.pending, manifest.to_json())
    assert lab.queue.open(lab.claim()) is None
    view = scan(bucket)
    assert (view.pending, view.claimed) == ((), ())
    assert site.find(name).state is JobState.CANCELLED


def test_cancelling_a_finished_job_changes_nothing(site: SiteQueue, lab: Lab) -> None:
    manifest = make_manifest()
    site.submit(manifest)
    lab.queue.finish(lab.claim(), make_result(manifest.job_id))
    assert site.cancel(manifest.job_id, now=NOW).status is ResultStatus.SUCCEEDED


def test_a_bad_manifest_is_set_aside_unchanged_with_its_reason(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    manifest = make_manifest()
    name = site.submit(manifest)
    info = bucket.stat(name.pending)
    bucket.delete(name.pending, generation=info.generation)
    bucket.create(name.pending, b"{ not json")
    claim = lab.claim()
    with pytest.raises(ManifestRejectedError) as caught:
        lab.queue.open(claim)
    lab.queue.reject(claim, caught.value)
    where = site.find(name)
    assert where.state is JobState.REJECTED
    assert where.rejection is not None
    assert where.rejection.code == "manifest-not-json"
    assert where.rejection.remedy
    assert places(bucket, manifest.job_id) == ["rejected"]
    rejected = bucket.read(claim.name.rejected, limit=100)
    assert rejected == b"{ not json"
    assert bucket.list(names.RESULTS) == []


def test_a_manifest_that_disagrees_with_its_name_is_rejected(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    name = site.submit(make_manifest())
    bucket.delete(name.pending, generation=bucket.stat(name.pending).generation)
    bucket.create(name.pending, make_manifest().to_json())
    with pytest.raises(ManifestRejectedError) as caught:
        lab.queue.open(lab.claim())
    assert caught.value.code == "name-mismatch"


def test_a_file_that_is_no_job_is_set_aside(bucket: LocalBucket, lab: Lab) -> None:
    bucket.create(f"{names.PENDING}copied by hand.json", b"{}")
    view = scan(bucket)
    lab.queue.reject_misnamed(view.misnamed[0])
    assert scan(bucket).misnamed == ()
    assert [i.name for i in bucket.list(names.REJECTED)] == [
        f"{names.REJECTED}copied by hand.json",
        f"{names.REJECTED}copied by hand.reason.json",
    ]


def test_handing_back_never_counts_and_waits(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    manifest = make_manifest(max_attempts=1)
    site.submit(manifest)
    for attempt in range(1, 6):
        pending = scan(bucket).pending[0]
        assert pending.name.fence == attempt - 1
        claim = lab.queue.claim(pending)
        assert claim is not None
        wait = timedelta(seconds=10)
        lab.queue.hand_back(claim, OrthancUnavailableError("away"), started=True, wait=wait)
        assert not lab.queue.may_claim(scan(bucket).pending[0])
        lab.clock.seconds += 11
        assert lab.queue.may_claim(scan(bucket).pending[0])
    assert lab.queue.result(manifest.job_id) is None


def test_attempts_that_fail_after_the_start_are_used_up(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    manifest = make_manifest(max_attempts=2)
    site.submit(manifest)
    for started in (False, True):
        claim = lab.claim()
        error = AttemptFailedError(f"broke, started {started}")
        assert lab.queue.fail_attempt(claim, error, started=started, max_attempts=2) is None
    result = lab.queue.fail_attempt(
        lab.claim(), AttemptFailedError("broke again"), started=True, max_attempts=2
    )
    assert result is not None
    assert result.failure is not None
    assert result.failure.code == "attempts-used-up"
    assert "broke, started True" in result.failure.reason
    assert "broke again" in result.failure.reason
    assert places(bucket, manifest.job_id) == ["failed"]


def test_i5_a_dead_owners_claim_comes_back_with_its_attempt_recorded(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    manifest = make_manifest()
    site.submit(manifest)
    claim = lab.claim()
    working = HeartbeatJob(job_id=manifest.job_id, attempt=1, stage=Stage.INFER, started=True)
    lab.lease.renew(lab.heartbeat(working))
    other = Lab(bucket, "lab-2")
    other.start()
    assert other.reaper.reap(scan(bucket)) == []
    other.clock.seconds += LEASE.total_seconds() + 1
    assert [job.agent for job in other.reaper.reap(scan(bucket))] == ["lab-1"]
    record = read_attempt(bucket, manifest.job_id, claim.attempt)
    assert record is not None
    assert (record.outcome.value, record.counts) == ("lost", True)
    assert places(bucket, manifest.job_id) == ["jobs/pending"]


@pytest.mark.parametrize(("state", "counts"), [("stopped", False), ("listening", True)])
def test_an_agent_stopped_while_its_seg_waits_for_orthanc_has_not_failed(
    bucket: LocalBucket, site: SiteQueue, lab: Lab, state: str, counts: bool
) -> None:
    manifest = make_manifest(max_attempts=2)
    site.submit(manifest)
    claim = lab.claim()
    waiting = HeartbeatJob(job_id=manifest.job_id, attempt=1, stage=Stage.UPLOAD, started=True)
    lab.lease.renew(lab.heartbeat(waiting, state=state))
    other = Lab(bucket, "lab-2")
    other.start()
    other.clock.seconds += LEASE.total_seconds() + 1
    other.reaper.reap(scan(bucket))
    record = read_attempt(bucket, manifest.job_id, claim.attempt)
    assert record is not None
    assert record.counts is counts


def test_a_dead_process_of_this_host_is_not_waited_for(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    site.submit(make_manifest())
    lab.claim()
    other = Lab(bucket, "lab-2")
    other.start()
    other.dead.add(lab.identity.instance)
    assert len(other.reaper.reap(scan(bucket))) == 1


def test_a_prefetched_neighbour_of_a_poison_job_does_not_count(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    manifest = make_manifest()
    site.submit(manifest)
    lab.claim()
    waiting = HeartbeatJob(job_id=manifest.job_id, attempt=1, stage=Stage.READY)
    lab.lease.renew(lab.heartbeat(waiting, state="stopped"))
    other = Lab(bucket, "lab-2")
    other.start()
    other.reaper.reap(scan(bucket))
    record = read_attempt(bucket, manifest.job_id, 1)
    assert record is not None
    assert not record.counts


def test_a_poison_job_stops_after_its_attempts(bucket: LocalBucket, site: SiteQueue) -> None:
    manifest = make_manifest(max_attempts=3)
    name = site.submit(manifest)
    for attempt in range(1, 4):
        life = Lab(bucket)
        previous = life.lease.take(life.heartbeat()) if attempt == 1 else _next_life(life)
        life.reaper.recover_own_claims(scan(bucket), previous, keep=())
        life.claim()
        job = HeartbeatJob(job_id=manifest.job_id, attempt=attempt, stage=Stage.INFER, started=True)
        life.lease.renew(life.heartbeat(job))
    last = Lab(bucket)
    last.reaper.recover_own_claims(scan(bucket), _next_life(last), keep=())
    assert site.find(name).state is JobState.FAILED
    assert places(bucket, manifest.job_id) == ["failed"]


def _next_life(lab: Lab) -> Heartbeat | None:
    seen = scan(lab.bucket).agents[lab.agent]
    lab.dead.add(seen.heartbeat.identity.instance)
    return lab.start()


def test_a_claim_whose_seg_waits_is_kept(bucket: LocalBucket, site: SiteQueue, lab: Lab) -> None:
    manifest = make_manifest()
    site.submit(manifest)
    lab.claim()
    again = Lab(bucket)
    previous = _next_life(again)
    assert again.reaper.recover_own_claims(scan(bucket), previous, keep={manifest.job_id}) == []
    assert places(bucket, manifest.job_id) == ["jobs/claimed"]


def test_a_zombie_cannot_move_what_was_taken_from_it(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    manifest = make_manifest()
    site.submit(manifest)
    old = lab.claim()
    other = Lab(bucket, "lab-2")
    other.start()
    other.dead.add(lab.identity.instance)
    other.reaper.reap(scan(bucket))
    new = other.claim()
    lab.queue.hand_back(old, TransientError("late"), started=True, wait=timedelta(0))
    assert places(bucket, manifest.job_id) == ["jobs/claimed"]
    winner = make_result(manifest.job_id, "lab-2", attempt=2)
    other.queue.finish(new, winner)
    assert lab.queue.finish(old, make_result(manifest.job_id)) == winner
    assert places(bucket, manifest.job_id) == ["done"]


def test_a_second_process_with_the_same_agent_id_is_refused_while_the_first_lives(
    bucket: LocalBucket, lab: Lab
) -> None:
    with pytest.raises(LeaseLostError) as caught:
        Lab(bucket).start()
    assert caught.value.code == "agent-id-in-use"
    lab.lease.renew(lab.heartbeat())


def test_a_process_whose_id_was_taken_over_stops(bucket: LocalBucket, lab: Lab) -> None:
    _next_life(Lab(bucket))
    with pytest.raises(LeaseLostError):
        lab.lease.renew(lab.heartbeat())


def test_time_is_the_stores(bucket: LocalBucket, lab: Lab) -> None:
    before = store_now(bucket, "site")
    lab.lease.renew(lab.heartbeat())
    lab.clock.seconds += 60
    assert lab.lease.now() - before >= timedelta(seconds=60)
    lab.clock.seconds += 61
    assert not lab.lease.is_held()


def test_a_lost_submit_answer_that_doubled_a_job_ends_with_one_result(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    manifest = make_manifest()
    site.submit(manifest)
    first = lab.claim()
    site.submit(manifest)
    assert lab.queue.claim(scan(bucket).pending[0]) is None
    lab.queue.finish(first, make_result(manifest.job_id))
    assert lab.queue.open(lab.claim()) is None
    assert places(bucket, manifest.job_id) == ["done"]
    assert scan(bucket).pending == ()


def test_a_job_goes_to_an_agent_with_its_labels_and_is_opened_once_by_each_other_one(
    bucket: LocalBucket, site: SiteQueue, lab: Lab
) -> None:
    """Handed back it counts nothing, and nobody without the labels claims it again."""
    name = site.submit(make_manifest(labels=("site-a", "gpu-24gb"), max_attempts=1))
    claim = lab.claim()
    with pytest.raises(TransientError, match="this one lacks site-a, gpu-24gb") as caught:
        lab.queue.open(claim)
    assert caught.value.code == "labels"
    lab.queue.hand_back(claim, caught.value, started=False, wait=timedelta(0))
    record = read_attempt(bucket, name.job_id, 1)
    assert record is not None
    assert (record.counts, record.labels) == (False, ("site-a", "gpu-24gb"))
    (waiting,) = scan(bucket).pending
    some = Lab(bucket, "lab-2", "host-b", labels=("site-a",))
    fitting = Lab(bucket, "lab-3", "host-c", labels=("gpu-24gb", "site-a", "fast"))
    for other in (some, fitting):
        other.start()
    claimants = [agent.queue.may_claim(waiting) for agent in (lab, some, fitting)]
    assert claimants == [False, False, True]
    claim = fitting.claim()
    assert fitting.queue.open(claim) is not None
    fitting.queue.hand_back(
        claim, TransientError("The agent was stopped."), started=False, wait=timedelta(0)
    )
    (waiting,) = scan(bucket).pending
    assert not lab.queue.may_claim(waiting), "its labels are in every record"


def test_a_job_without_labels_goes_to_everybody(bucket: LocalBucket, site: SiteQueue) -> None:
    site.submit(make_manifest())
    agent = Lab(bucket, labels=("site-a",))
    agent.start()
    assert agent.queue.open(agent.claim()) is not None
