"""The queue in a real Redis keeps the promises of the bucket protocol."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from infra.servers.redis import RedisServer
from segrelay import names
from segrelay.bucket import open_bucket
from segrelay.bucket import redis as redis_module
from segrelay.bucket.lifetimes import LIFETIMES
from segrelay.bucket.redis import RedisBucket
from segrelay.bucket.redis_scripts import Keys
from segrelay.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRefusedError,
    PreconditionFailedError,
    StoreUnavailableError,
)
from segrelay.queue import verify_store
from tests.support.buckets.redis import fresh_address, redis_bucket
from tests.unit.common.bucket import test_local_bucket as contract

test_create_writes_once = contract.test_create_writes_once
test_read_stops_just_past_its_limit = contract.test_read_stops_just_past_its_limit
test_move_keeps_the_bytes = contract.test_move_keeps_the_bytes_and_needs_the_right_generation
test_move_never_overwrites = contract.test_move_never_overwrites
test_delete_needs_the_right_generation = contract.test_delete_needs_the_right_generation
test_a_beacon_taken_over = contract.test_a_beacon_taken_over_refuses_the_beats_of_its_first_owner
test_a_beat_needs_a_beacon = contract.test_a_beat_needs_a_beacon
test_a_manifest_like_a_beacon = contract.test_a_manifest_that_looks_like_a_beacon_is_only_bytes
test_list_is_sorted = contract.test_list_is_sorted_by_name_and_hides_what_is_not_an_object

JOB = f"{names.PENDING}5-01.json"


def test_the_self_test_finds_nothing(server: RedisServer) -> None:
    assert verify_store(open_bucket(fresh_address(server.address))) == []


def test_names_are_in_the_order_of_code_points(bucket: RedisBucket) -> None:
    made = sorted(["p/a", "p/b~1", "p/Z", "p/é", "p/\U0001f4a0", "p/\uffff"])
    for name in reversed(made):
        bucket.create(name, b"")
    assert [info.name for info in bucket.list("p/")] == made


@pytest.mark.parametrize("count", [7, 8, 9])
def test_a_listing_of_several_pages(
    bucket: RedisBucket, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(redis_module, "PAGE", 4)
    made = [f"p/{number:05}" for number in range(count)]
    for name in made:
        bucket.create(name, b"x")
    assert [info.name for info in bucket.list("p/")] == made


def test_one_listing_brings_the_heartbeats_along(bucket: RedisBucket) -> None:
    bucket.take_over("v1/jobs/agents/lab-1.json", {"beat": "{}", "é": "ü"}, generation=0)
    bucket.create(JOB, b"{}")
    heartbeat, job = bucket.list("v1/jobs/")
    assert (heartbeat.metadata, job.metadata) == ({"beat": "{}", "é": "ü"}, {})


def test_any_bytes_are_kept(bucket: RedisBucket) -> None:
    data = bytes(range(256)) * 3
    assert bucket.create("a", data).size == len(data)
    assert bucket.read("a", limit=1000) == data


@pytest.mark.parametrize("name", ["", "../x", "a//b", "/etc/passwd", "a\\b", "a/./b", "a\udc80"])
def test_what_cannot_name_an_object(bucket: RedisBucket, name: str) -> None:
    with pytest.raises(ObjectNotFoundError):
        bucket.create(name, b"")


def test_a_beat_moves_the_stores_time_and_keeps_the_generation(bucket: RedisBucket) -> None:
    taken = bucket.take_over("beat", {}, generation=0)
    beaten = bucket.refresh("beat", {"k": "v"}, generation=taken.generation)
    assert (beaten.generation, beaten.metadata) == (taken.generation, {"k": "v"})
    assert beaten.updated > taken.updated
    assert abs(beaten.updated - datetime.now(UTC)) < timedelta(seconds=30)


def test_a_job_that_comes_back_under_its_old_name_is_another_generation(
    bucket: RedisBucket,
) -> None:
    first = bucket.create("a", b"1")
    moved = bucket.move("a", "b", generation=first.generation)
    bucket.move("b", "a", generation=moved.generation)
    with pytest.raises(PreconditionFailedError):
        bucket.move("a", "b", generation=first.generation)


def test_no_key_expires(server: RedisServer, bucket: RedisBucket) -> None:
    bucket.create(JOB, b"{}")
    bucket.take_over("beat", {}, generation=0)
    bucket.list("")
    with closing(server.client()) as client:
        keys = client.keys(f"{bucket.address.prefix}:*")
        assert len(keys) == 4
        assert {client.ttl(key) for key in keys} == {-1}


def test_a_foreign_key_in_an_objects_place(server: RedisServer, bucket: RedisBucket) -> None:
    bucket.create("a", b"1")
    info = bucket.create("b", b"2")
    keys = Keys(bucket.address.prefix)
    with closing(server.client()) as client:
        client.delete(keys.object("a"))
        client.rpush(keys.object("a"), "x")
    strange, usual = bucket.list("")
    assert (strange.problem != "", usual) == (True, info)
    attempts: list[Callable[[], object]] = [
        lambda: bucket.stat("a"),
        lambda: bucket.create("a", b"3"),
        lambda: bucket.replace("a", b"3"),
        lambda: bucket.move("b", "a", generation=info.generation),
        lambda: bucket.take_over("a", {}, generation=0),
    ]
    for attempt in attempts:
        with pytest.raises(ObjectRefusedError) as caught:
            attempt()
        assert keys.object("a") in caught.value.message
        assert "redis-cli" in caught.value.remedy
    assert bucket.stat("b") == info


def test_a_foreign_key_in_place_of_the_names(server: RedisServer, bucket: RedisBucket) -> None:
    keys = Keys(bucket.address.prefix)
    with closing(server.client()) as client:
        client.set(keys.names, "x")
        with pytest.raises(ObjectRefusedError) as caught:
            bucket.create("a", b"1")
        assert keys.names in caught.value.message
        assert not client.exists(keys.object("a"))


def test_an_object_whose_hash_was_deleted_by_hand(server: RedisServer, bucket: RedisBucket) -> None:
    bucket.create("a", b"1")
    with closing(server.client()) as client:
        client.delete(Keys(bucket.address.prefix).object("a"))
    assert [info.problem != "" for info in bucket.list("")] == [True]
    with pytest.raises(ObjectNotFoundError):
        bucket.stat("a")
    bucket.create("a", b"2")
    assert bucket.list("")[0].problem == ""


def test_what_is_too_old_is_removed(
    server: RedisServer, bucket: RedisBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_module, "PAGE", 2)
    kept = [JOB, f"{names.CLAIMED}lab/x", f"{names.AGENTS}lab.json"]
    for name in [*kept, *(f"{prefix}old" for prefix in LIFETIMES)]:
        bucket.create(name, b"{}")
    keys = Keys(bucket.address.prefix)
    longest = max(LIFETIMES.values()) + timedelta(days=1)
    long_ago = int((datetime.now(UTC) - longest).timestamp() * 1e6)
    with closing(server.client()) as client:
        for info in bucket.list(""):
            client.hset(keys.object(info.name), "updated", str(long_ago))
    for prefix in LIFETIMES:
        bucket.create(f"{prefix}young", b"{}")
    assert bucket.prune() == len(LIFETIMES)
    left = sorted([*kept, *(f"{prefix}young" for prefix in LIFETIMES)])
    assert [info.name for info in bucket.list("")] == left


def test_what_is_too_old_is_removed_once_an_hour_by_one_process(
    server: RedisServer, bucket: RedisBucket
) -> None:
    other = redis_bucket(f"{server.address.rpartition('/')[0]}/{bucket.address.prefix}")
    keys = Keys(bucket.address.prefix)
    bucket.create(f"{names.PROBE}a", b"")
    with closing(server.client()) as client:
        client.hset(keys.object(f"{names.PROBE}a"), "updated", "1")
        assert len(bucket.list("")) == 1
        assert bucket.list("") == []
        bucket.create(f"{names.PROBE}b", b"")
        client.hset(keys.object(f"{names.PROBE}b"), "updated", "1")
        assert len(bucket.list("")) == len(other.list("")) == 1
        client.set(keys.pruned, "1")
        another = redis_bucket(f"{server.address.rpartition('/')[0]}/{bucket.address.prefix}")
        assert [len(another.list("")) for _ in range(2)] == [1, 0]
    other.close()
    another.close()


def test_an_arrival_wakes_who_listens(bucket: RedisBucket) -> None:
    with bucket.arrivals() as arrivals:
        arrivals.begin()
        info = bucket.create("a", b"{}")
        assert not arrivals.wait(0.01)
        bucket.move("a", JOB, generation=info.generation)
        assert arrivals.wait(5)


def test_a_connection_on_which_nothing_comes_is_noticed(
    server: RedisServer, bucket: RedisBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_module, "PONG_TIMEOUT", 0.1)
    with closing(server.client()) as client:
        process = int(client.info("server")["process_id"])
    with bucket.arrivals() as arrivals:
        arrivals.begin()
        os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailableError):
                arrivals.wait(0.01)
        finally:
            os.kill(process, signal.SIGCONT)


def test_two_prefixes_are_two_queues(server: RedisServer, bucket: RedisBucket) -> None:
    other = redis_bucket(fresh_address(server.address))
    bucket.create("a", b"1")
    other.create("a", b"2")
    assert (bucket.read("a", limit=9), other.read("a", limit=9)) == (b"1", b"2")
    with pytest.raises(ObjectExistsError):
        other.create("a", b"3")
    other.close()
