"""A page in place of a document moves no job; a document that is spoilt for good ends its job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.bucket.sealed import SealedBucket
from segrelay.errors import ManifestRejectedError, ObjectNotFoundError, StoreUnavailableError
from segrelay.manifest import RESULT_BYTES_LIMIT, ResultStatus, utc_now
from segrelay.queue import AgentQueue, Claim, JobState, Reaper, SiteQueue, scan
from segrelay.queue.operator import OperatorQueue
from segrelay.signing import SigningKey, Trust
from tests.support.jobs import make_manifest

PAGE = b"<!DOCTYPE html><title>Sign in</title>" + b"<p>Please sign in" * 100
JOB_TREES = (names.PENDING, names.CLAIMED, names.DONE, names.FAILED, names.REJECTED)


class PagedBucket(LocalBucket):
    """A store behind a server that answers some reads itself."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.is_paged: Callable[[str], bool] = lambda _name: False
        self.page: bytes = PAGE
        self.reads_left = 0
        """So many reads are answered with the page; then the server has gone."""

    def read(self, name: str, *, limit: int) -> bytes:
        if self.reads_left and self.is_paged(name):
            self.reads_left -= 1
            return self.page[: limit + 1]
        return super().read(name, limit=limit)


@pytest.fixture
def store(tmp_path: Path) -> PagedBucket:
    return PagedBucket(tmp_path)


@pytest.fixture(params=["plain", "signed"])
def bucket(store: PagedBucket, request: pytest.FixtureRequest) -> Bucket:
    if request.param == "plain":
        return store
    key = SigningKey.new()
    return SealedBucket(store, key, Trust.of(jobs=[key.public], results=[key.public]))


def claimed(bucket: Bucket) -> tuple[AgentQueue, Claim]:
    SiteQueue(bucket).submit(make_manifest())
    queue = AgentQueue(bucket, "lab-1", now=utc_now)
    claim = queue.claim(scan(bucket).pending[0])
    assert claim is not None
    return queue, claim


def where(bucket: Bucket) -> list[str]:
    return [info.name for tree in JOB_TREES for info in bucket.list(tree)]


@pytest.mark.parametrize("lasts", [1, 2, 3, 100])
@pytest.mark.parametrize("tree", [names.RESULTS, names.CLAIMED])
def test_a_page_in_place_of_manifest_or_result_moves_no_job(
    store: PagedBucket, bucket: Bucket, tree: str, lasts: int
) -> None:
    queue, claim = claimed(bucket)
    store.is_paged = lambda name: name.startswith(tree)
    before = where(bucket)
    store.reads_left = lasts
    try:
        manifest = queue.open(claim)
    except StoreUnavailableError:
        manifest = None
    assert where(bucket) == before, "the claim stays"
    store.reads_left = 0
    assert manifest is not None or queue.open(claim) is not None


@pytest.mark.parametrize("lasts", [1, 2, 3, 100])
def test_a_page_in_place_of_a_result_is_no_result_to_anybody(
    store: PagedBucket, bucket: Bucket, lasts: int
) -> None:
    """The job is still under way: a page must not end it, whoever looks."""
    queue, claim = claimed(bucket)
    store.is_paged = lambda name: name.startswith(names.RESULTS)
    result = names.result_object(claim.job_id)
    before = where(bucket)
    for look in (
        lambda: queue.result(claim.job_id),
        lambda: SiteQueue(bucket).find(claim.name),
        lambda: OperatorQueue(bucket, "lab-1", is_dead=lambda _: False).requeue(claim.job_id),
        lambda: Reaper(bucket, "lab-2", now=utc_now, is_dead=lambda _: True).reap(scan(bucket)),
    ):
        store.reads_left = lasts
        with pytest.raises(StoreUnavailableError):
            look()
        assert where(bucket) == before
    store.reads_left = 0
    with pytest.raises(ObjectNotFoundError):
        bucket.stat(result)
    assert SiteQueue(bucket).find(claim.name).state is JobState.CLAIMED


@pytest.mark.parametrize("garbage", [b"", b"garbage", PAGE, bytes(RESULT_BYTES_LIMIT + 5)], ids=len)
def test_a_result_that_is_spoilt_for_good_ends_the_job(
    store: PagedBucket, bucket: Bucket, garbage: bytes
) -> None:
    queue, claim = claimed(bucket)
    store.create(names.result_object(claim.job_id), garbage)
    with pytest.raises(ManifestRejectedError):
        queue.result(claim.job_id)
    assert SiteQueue(bucket).find(claim.name).state is JobState.RESULT_UNREADABLE
    assert queue.open(claim) is None
    assert where(bucket) == [claim.name.failed]


@pytest.mark.parametrize("garbage", [b"", b"garbage", PAGE])
def test_a_manifest_that_is_spoilt_for_good_is_rejected(
    store: PagedBucket, bucket: Bucket, garbage: bytes
) -> None:
    queue, claim = claimed(bucket)
    store.delete(claim.object_name, generation=store.stat(claim.object_name).generation)
    store.create(claim.object_name, garbage)
    with pytest.raises(ManifestRejectedError) as caught:
        queue.open(claim)
    queue.reject(claim, caught.value)
    assert claim.name.rejected in where(bucket)


def test_a_page_does_not_shorten_the_attempts_of_a_lost_job(
    store: PagedBucket, bucket: Bucket
) -> None:
    _, claim = claimed(bucket)
    reaper = Reaper(bucket, "lab-2", now=utc_now, is_dead=lambda _: True)
    store.is_paged, store.reads_left = (lambda name: name.startswith(names.CLAIMED)), 100
    with pytest.raises(StoreUnavailableError):
        reaper.reap(scan(bucket))
    assert where(bucket) == [claim.object_name]
    store.reads_left = 0
    reaper.reap(scan(bucket))
    assert where(bucket) == [claim.name.pending]


def test_a_result_that_is_whole_at_the_second_look_is_read_at_the_next(
    store: PagedBucket, bucket: Bucket
) -> None:
    queue, claim = claimed(bucket)
    SiteQueue(bucket).cancel(claim.job_id, now=utc_now())
    store.is_paged, store.reads_left = (lambda name: name.startswith(names.RESULTS)), 1
    with pytest.raises(StoreUnavailableError):
        queue.result(claim.job_id)
    result = queue.result(claim.job_id)
    assert result is not None
    assert result.status is ResultStatus.CANCELLED
