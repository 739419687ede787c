"""The queue over Google Cloud Storage, through Google's own client and the strict fake.

What only the cloud has: claims whose answers are lost in its two ways to move, histories of random
faults below the client's own retry, and stores that lie.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.fake_gcs import FakeGcs, FaultKind
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.gcs import GcsBucket
from segrelay.bucket.local import LocalBucket
from segrelay.errors import FixConfigurationError, QueueConflictError, StoreUnavailableError
from segrelay.manifest import JobManifest
from segrelay.queue import AgentQueue, SiteQueue, scan
from segrelay.queue.selftest import verify_store
from tests.conftest import SEED
from tests.support.buckets.gcs import BUCKET, fresh_bucket
from tests.support.jobs import NOW, make_manifest, make_result
from tests.support.repetition import at_length
from tests.unit.common.queue import test_queue_crashes as crashes

HISTORIES, HISTORIES_LONG = 3, 50
"""Random histories; each is a few hundred requests."""

LOUD_FAULTS = (
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.STATUS,
    FaultKind.STATUS_AFTER,
    FaultKind.CUT,
)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET]) as fake:
        yield fake


@pytest.fixture
def bucket(fake: FakeGcs) -> Iterator[GcsBucket]:
    with fresh_bucket(fake) as bucket:
        yield bucket


def where(bucket: Bucket, job_id: str) -> list[str]:
    """The folders in which the job's manifest lies."""
    return crashes.where(bucket, job_id)


@pytest.mark.parametrize("destination_first", [False, True])
@pytest.mark.parametrize("kind", [FaultKind.DROP_AFTER, FaultKind.STATUS_AFTER, FaultKind.CUT])
def test_a_won_claim_whose_answer_was_lost_is_kept(
    kind: FaultKind, destination_first: bool
) -> None:
    fake = FakeGcs([BUCKET], destination_first=destination_first)
    with fake, fresh_bucket(fake) as bucket:
        SiteQueue(bucket).submit(make_manifest())
        fake.break_next(kind, "move")
        claim = AgentQueue(bucket, "lab-1", now=lambda: NOW).claim(scan(bucket).pending[0])
        assert claim is not None
        assert bucket.stat(claim.object_name).size > 0


def test_a_lost_claim_is_not_taken_for_a_won_one(fake: FakeGcs, bucket: GcsBucket) -> None:
    SiteQueue(bucket).submit(make_manifest())
    job = scan(bucket).pending[0]
    assert AgentQueue(bucket, "lab-1", now=lambda: NOW).claim(job) is not None
    fake.break_next(FaultKind.DROP_AFTER, "move")
    assert AgentQueue(bucket, "lab-2", now=lambda: NOW).claim(job) is None


@pytest.mark.parametrize(
    "number", [*range(HISTORIES), *at_length(*range(HISTORIES, HISTORIES_LONG))]
)
def test_i1_i3_random_histories(fake: FakeGcs, number: int) -> None:
    """Several jobs and lives; any request may break, several times, and any answer be lost."""
    chance = random.Random(f"{SEED}/{number}")
    with fresh_bucket(fake, deadline=0.2) as bucket:
        jobs = [make_manifest(max_attempts=10) for _ in range(3)]
        for _ in range(12):
            published = [job for job in jobs if where(bucket, job.job_id)]
            kind, skip = chance.choice(LOUD_FAULTS), chance.randrange(12)
            fake.break_next(kind, skip=skip, times=chance.choice((1, 1, 1, 30)))
            with contextlib.suppress(StoreUnavailableError, QueueConflictError):
                _one_step(chance, bucket, jobs, published)
            fake.faults.clear()
        for job in jobs:
            # The site sends again what it does not find, so every job arrives in the end.
            if not where(bucket, job.job_id):
                SiteQueue(bucket).submit(job)
        for _ in range(3):
            crashes.Life(bucket).work()
        for job in jobs:
            assert where(bucket, job.job_id) == ["done"], f"history {number}"
        assert len(bucket.list(names.RESULTS)) == len(jobs)


def _one_step(
    chance: random.Random, bucket: GcsBucket, jobs: list[JobManifest], published: list[JobManifest]
) -> None:
    step = chance.choice(("submit", "work", "work", "cancel"))
    if step == "work":
        crashes.Life(bucket).work()
    elif step == "submit":
        SiteQueue(bucket).submit(chance.choice(jobs))
    elif published:
        SiteQueue(bucket).cancel(chance.choice(published).job_id, now=NOW)


def test_an_honest_store_passes_its_self_test(bucket: GcsBucket, tmp_path: Path) -> None:
    verify_store(bucket)
    assert bucket.list("") == []
    local = LocalBucket(tmp_path)
    verify_store(local)
    assert local.list("") == []


@pytest.mark.parametrize("lie", ["upload", "move", "patch", "delete"])
def test_a_store_that_lies_is_refused(lie: str) -> None:
    with FakeGcs([BUCKET], lies=[lie]) as fake, fresh_bucket(fake) as bucket:
        with pytest.raises(FixConfigurationError) as caught:
            verify_store(bucket)
        assert caught.value.code == "store-dishonest"
        assert bucket.describe() in caught.value.message


def test_lost_answers_do_not_make_an_honest_store_look_dishonest(fake: FakeGcs) -> None:
    for at in range(40):
        with fresh_bucket(fake) as bucket:
            hits = fake.faults.hits
            fake.break_next(FaultKind.DROP_AFTER, skip=at)
            verify_store(bucket)
            if fake.faults.hits == hits:
                fake.faults.clear()
                assert at > 10
                return
    raise AssertionError("the self-test never ran through")


def test_the_result_of_a_finished_job_can_be_read(bucket: GcsBucket) -> None:
    manifest = make_manifest()
    SiteQueue(bucket).submit(manifest)
    queue = AgentQueue(bucket, "lab-1", now=lambda: NOW)
    claim = queue.claim(scan(bucket).pending[0])
    assert claim is not None
    result = make_result(manifest.job_id)
    queue.finish(claim, result)
    assert bucket.read(names.result_object(manifest.job_id), limit=10_000) == result.to_json()
