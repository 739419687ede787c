"""Joined operations of a Redis: wholly or not at all, and with the same end as single ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime

import pytest

from infra.servers.redis import RedisServer
from segrelay import names
from segrelay.bucket import Bucket, JoinedOperations, MovedObject
from segrelay.bucket.redis import RedisBucket, Values
from segrelay.bucket.redis_scripts import (
    CREATE,
    CREATE_AND_MOVE,
    LIST,
    MOVE_AND_READ,
    Keys,
    Script,
)
from segrelay.errors import (
    ObjectRefusedError,
    SegRelayError,
    StoreUnavailableError,
)
from segrelay.manifest import ResultManifest, ResultStatus
from segrelay.names import JobName
from segrelay.queue import AgentQueue, Claim, SiteQueue, scan
from tests.support.buckets.redis import fresh_address, keys_as_kept, redis_bucket
from tests.support.jobs import make_manifest, make_result

AGENT = "lab"


class SingleOperations:
    """The bucket protocol of a Redis, and no more."""

    def __init__(self, bucket: RedisBucket) -> None:
        self._bucket = bucket

    def __getattr__(self, name: str) -> object:
        if name in vars(JoinedOperations):
            raise AttributeError(name)
        return getattr(self._bucket, name)


def contents(bucket: Bucket) -> dict[str, bytes]:
    return {info.name: bucket.read(info.name, limit=9999) for info in bucket.list("")}


def now() -> datetime:
    return datetime(2026, 11, 20, tzinfo=UTC)


def agents_queue(bucket: Bucket) -> AgentQueue:
    return AgentQueue(bucket, AGENT, now=now)


def test_a_job_takes_four_requests(bucket: RedisBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Script] = []
    run = RedisBucket._run

    def counted(self: RedisBucket, script: Script, keys: Sequence[str], values: Values) -> object:
        asked.append(script)
        return run(self, script, keys, values)

    bucket.list("")  # The first one also removes what is too old.
    monkeypatch.setattr(RedisBucket, "_run", counted)
    queue, manifest = agents_queue(bucket), make_manifest()
    SiteQueue(bucket).submit(manifest)
    claim = queue.claim(scan(bucket).pending[0])
    assert claim is not None
    assert queue.open(claim) == manifest
    result = make_result(manifest.job_id)
    assert queue.finish(claim, result) == result
    assert asked == [CREATE, LIST, MOVE_AND_READ, CREATE_AND_MOVE]
    assert set(contents(bucket)) == {claim.name.done, names.result_object(manifest.job_id)}


Situation = tuple[bool, bool, bool, bool]
SITUATIONS = list(itertools.product((False, True), repeat=4))


def _end(act: Callable[[Bucket], object], bucket: Bucket) -> tuple[object, dict[str, bytes]]:
    try:
        answer = act(bucket)
    except SegRelayError as error:
        answer = error.code
    return answer, contents(bucket)


def _same_end(
    server: RedisServer, arrange: Callable[[Bucket], None], act: Callable[[Bucket], object]
) -> None:
    ends = []
    for is_joined in (True, False):
        with closing(redis_bucket(fresh_address(server.address))) as inner:
            arrange(inner)
            bucket: Bucket = inner if is_joined else SingleOperations(inner)  # type: ignore[assignment]
            assert isinstance(bucket, JoinedOperations) == is_joined
            ends.append(_end(act, bucket))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_finish_ends_as_by_single_operations(server: RedisServer, situation: Situation) -> None:
    has_source, has_result, has_archived, has_rejected = situation
    manifest = make_manifest()
    name = JobName(priority=5, job_id=manifest.job_id, profile="demo", fence=1)
    claim, result = Claim(name=name, agent=AGENT), make_result(manifest.job_id)
    cancelled = ResultManifest(
        job_id=manifest.job_id,
        status=ResultStatus.CANCELLED,
        author="site",
        nonce=result.nonce,
        attempt=0,
        finished_at=now(),
    )

    def arrange(bucket: Bucket) -> None:
        if has_source:
            bucket.create(claim.object_name, manifest.to_json())
        if has_result:
            bucket.create(names.result_object(manifest.job_id), cancelled.to_json())
        if has_archived:
            bucket.create(name.done, manifest.to_json())
        if has_rejected:
            bucket.create(name.rejected, b"x")

    _same_end(server, arrange, lambda bucket: agents_queue(bucket).finish(claim, result))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_claim_ends_as_by_single_operations(server: RedisServer, situation: Situation) -> None:
    is_gone, is_another, has_destination, has_result = situation
    manifest = make_manifest()
    result = make_result(manifest.job_id)

    def arrange(bucket: Bucket) -> None:
        SiteQueue(bucket).submit(manifest)
        if has_result:
            bucket.create(names.result_object(manifest.job_id), result.to_json())

    def act(bucket: Bucket) -> object:
        (job,) = scan(bucket).pending
        if has_destination:
            bucket.create(job.name.next_claim.claimed_by(AGENT), b"{}")
        if is_another:
            bucket.replace(job.info.name, manifest.to_json())
        if is_gone:
            bucket.delete(job.info.name, generation=bucket.stat(job.info.name).generation)
        queue = agents_queue(bucket)
        claim = queue.claim(job)
        return None if claim is None else queue.open(claim)

    _same_end(server, arrange, act)


@pytest.mark.parametrize(
    ("has_result", "has_same", "has_other"), list(itertools.product((False, True), repeat=3))
)
def test_a_submit_ends_as_by_single_operations(
    server: RedisServer, has_result: bool, has_same: bool, has_other: bool
) -> None:
    manifest = make_manifest()
    name = JobName(priority=manifest.priority, job_id=manifest.job_id, profile="demo", fence=0)

    def arrange(bucket: Bucket) -> None:
        if has_result:
            bucket.create(names.result_object(manifest.job_id), b"{}")
        if has_same or has_other:
            bucket.create(name.pending, manifest.to_json() if has_same else b"{}")

    _same_end(server, arrange, lambda bucket: SiteQueue(bucket).submit(manifest))


def test_a_second_open_reads_again(bucket: RedisBucket) -> None:
    manifest = make_manifest()
    SiteQueue(bucket).submit(manifest)
    queue = agents_queue(bucket)
    claim = queue.claim(scan(bucket).pending[0])
    assert claim is not None
    assert queue.open(claim) == manifest
    SiteQueue(bucket).cancel(manifest.job_id, now=now())
    assert queue.open(claim) is None
    assert scan(bucket).claimed == ()


JOINED: dict[str, tuple[Callable[[RedisBucket], object], tuple[str, ...]]] = {
    "create": (
        lambda bucket: bucket.create_unless("new", b"1", other="other"),
        ("new", "other"),
    ),
    "move": (
        lambda bucket: bucket.move_and_read(
            "a", "b", generation=bucket.stat("a").generation, limit=9, other="other"
        ),
        ("b", "other"),
    ),
    "both": (
        lambda bucket: bucket.create_and_move(
            "new", b"1", source="a", destination="b", other="other"
        ),
        ("a", "b", "new", "other"),
    ),
}
"""What is done, and the objects whose keys it looks at."""


@pytest.mark.parametrize(
    ("act", "name"),
    [
        pytest.param(act, name, id=f"{key}-{name}")
        for key, (act, on) in JOINED.items()
        for name in on
    ],
)
def test_what_is_not_the_queues_under_a_key_changes_nothing(
    server: RedisServer, bucket: RedisBucket, act: Callable[[RedisBucket], object], name: str
) -> None:
    bucket.create("a", b"1")
    keys = Keys(bucket.address.prefix)
    with closing(server.client()) as client:
        client.delete(keys.object(name))
        client.set(keys.object(name), "x")
        before = keys_as_kept(client)
        with pytest.raises(ObjectRefusedError):
            act(bucket)
        assert keys_as_kept(client) == before


@pytest.mark.parametrize("key", ["create", "both"])
def test_a_full_redis_takes_nothing_of_it(
    server: RedisServer, bucket: RedisBucket, key: str
) -> None:
    act, _ = JOINED[key]
    bucket.create("a", b"1")
    bucket.list("")
    with closing(server.client()) as client:
        before = keys_as_kept(client)
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(StoreUnavailableError):
                act(bucket)
        finally:
            client.config_set("maxmemory", "0")
        assert keys_as_kept(client) == before


def test_a_claim_in_a_full_redis_is_whole(server: RedisServer, bucket: RedisBucket) -> None:
    made = bucket.create("a", b"1")
    with closing(server.client()) as client:
        client.config_set("maxmemory", "1")
        try:
            moved = bucket.move_and_read(
                "a", "b", generation=made.generation, limit=9, other="other"
            )
        finally:
            client.config_set("maxmemory", "0")
    assert moved == MovedObject(data=b"1", has_other=False)
    assert contents(bucket) == {"b": b"1"}


def test_no_more_than_the_limit_is_read(bucket: RedisBucket) -> None:
    made = bucket.create("a", b"123456789")
    bucket.create("other", b"")
    moved = bucket.move_and_read("a", "b", generation=made.generation, limit=3, other="other")
    assert moved == MovedObject(data=b"1234", has_other=True)


@pytest.mark.parametrize("place", ["result", "archived", "rejected", "claimed"])
def test_a_finish_that_meets_what_is_not_the_queues_ends_as_by_single_operations(
    server: RedisServer, place: str
) -> None:
    manifest = make_manifest()
    name = JobName(priority=5, job_id=manifest.job_id, profile="demo", fence=1)
    claim, result = Claim(name=name, agent=AGENT), make_result(manifest.job_id)
    places = {
        "result": names.result_object(manifest.job_id),
        "archived": name.done,
        "rejected": name.rejected,
        "claimed": claim.object_name,
    }
    ends = []
    for is_joined in (True, False):
        with (
            closing(redis_bucket(fresh_address(server.address))) as inner,
            closing(server.client()) as client,
        ):
            if place != "claimed":
                inner.create(claim.object_name, manifest.to_json())
            keys = Keys(inner.address.prefix)
            client.set(keys.object(places[place]), "x")
            bucket: Bucket = inner if is_joined else SingleOperations(inner)  # type: ignore[assignment]
            with pytest.raises(ObjectRefusedError):
                agents_queue(bucket).finish(claim, result)
            left = {info.name: info.size for info in inner.list("")}
            ends.append(left)
            assert (places["result"] in left) == (place != "result")
    assert ends[0] == ends[1]
