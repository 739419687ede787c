"""Whatever answer of a Redis is lost, and whenever it is killed: nothing acknowledged is lost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from infra.servers.redis import RedisServer
from segrelay import names
from segrelay.bucket import MovedObject, redis_scripts
from segrelay.bucket import redis as redis_module
from segrelay.bucket.redis import RedisBucket
from segrelay.errors import ObjectExistsError, ObjectNotFoundError, StoreUnavailableError
from segrelay.queue import AgentQueue, SiteQueue, scan
from tests.conftest import SEED
from tests.support.buckets.redis import fresh_address, redis_bucket
from tests.support.jobs import make_manifest
from tests.support.servers.reply_proxy import Loss, ReplyProxy, reply_proxy

KILLS, MANY_KILLS = 4, 200


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server, closing(server.client()) as client:
        # Else the first answer to each is that the server does not know it.
        for script in vars(redis_scripts).values():
            if isinstance(script, redis_scripts.Script):
                client.script_load(script.text)
        yield server


@pytest.fixture
def address(server: RedisServer) -> str:
    return fresh_address(server.address)


@pytest.fixture
def near(address: str) -> Iterator[RedisBucket]:
    """Without a proxy."""
    bucket = redis_bucket(address)
    yield bucket
    bucket.close()


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[ReplyProxy]:
    with reply_proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def far(
    server: RedisServer, address: str, proxy: ReplyProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RedisBucket]:
    """Through the proxy."""
    monkeypatch.setattr(redis_module, "ANSWER_TIMEOUT", 0.5)
    bucket = redis_bucket(address.replace(f":{server.port}/", f":{proxy.port}/"), deadline=10)
    bucket.list("")
    yield bucket
    bucket.close()


@pytest.mark.parametrize("loss", Loss)
def test_each_write_whose_answer_was_lost_is_known_as_ones_own(
    far: RedisBucket, near: RedisBucket, proxy: ReplyProxy, loss: Loss
) -> None:
    proxy.lose_next(loss)
    made = far.create("a", b"1")
    assert near.stat("a") == made
    with pytest.raises(ObjectExistsError):
        far.create("a", b"2")
    proxy.lose_next(loss)
    moved = far.move("a", "b", generation=made.generation)
    assert near.list("") == [moved]
    proxy.lose_next(loss)
    first = far.take_over("beat", {"owner": "1"}, generation=0)
    proxy.lose_next(loss)
    second = far.take_over("beat", {"owner": "2"}, generation=first.generation)
    proxy.lose_next(loss)
    far.refresh("beat", {"owner": "3"}, generation=second.generation)
    assert near.stat("beat").metadata == {"owner": "3"}
    proxy.lose_next(loss)
    far.replace("c", b"3")
    proxy.lose_next(loss)
    assert far.read("c", limit=9) == b"3"
    proxy.lose_next(loss)
    assert len(far.list("")) == 3
    assert proxy.lost == 8


@pytest.mark.parametrize("loss", Loss)
def test_joined_operations_whose_answer_was_lost_are_known_as_ones_own(
    far: RedisBucket, near: RedisBucket, proxy: ReplyProxy, loss: Loss
) -> None:
    proxy.lose_next(loss)
    made = far.create_unless("a", b"1", other="x")
    assert made == near.stat("a")
    proxy.lose_next(loss)
    moved = far.move_and_read("a", "b", generation=made.generation, limit=9, other="x")
    assert moved == MovedObject(data=b"1", has_other=False)
    proxy.lose_next(loss)
    assert far.create_and_move("r", b"2", source="b", destination="c", other="x")
    assert [info.name for info in near.list("")] == ["c", "r"]
    assert not far.create_and_move("r", b"3", source="c", destination="d", other="x")
    assert (near.read("c", limit=9), near.read("r", limit=9)) == (b"1", b"2")
    assert proxy.lost == 3


@pytest.mark.parametrize("loss", [Loss.AFTER, Loss.SILENT])
def test_a_deletion_whose_answer_was_lost_finds_nothing(
    far: RedisBucket, near: RedisBucket, proxy: ReplyProxy, loss: Loss
) -> None:
    made = far.create("a", b"1")
    proxy.lose_next(loss)
    with pytest.raises(ObjectNotFoundError):
        far.delete("a", generation=made.generation)
    assert near.list("") == []


def test_a_job_that_another_agent_took_meanwhile_is_not_ones_own(
    far: RedisBucket, near: RedisBucket, proxy: ReplyProxy
) -> None:
    made = near.create("a", b"1")
    proxy.lose_next(Loss.BEFORE)
    taken = threading.Timer(0, lambda: near.move("a", "b", generation=made.generation))
    taken.start()
    taken.join()
    with pytest.raises(ObjectNotFoundError):
        far.move("a", "b", generation=made.generation)
    proxy.lose_next(Loss.BEFORE)
    with pytest.raises(ObjectExistsError):
        far.create("b", b"1")


def test_a_claim_whose_answers_are_swallowed_is_not_lost(
    far: RedisBucket, near: RedisBucket, proxy: ReplyProxy
) -> None:
    SiteQueue(near).submit(make_manifest())
    queue = AgentQueue(far, "lab", now=lambda: datetime.now(UTC))
    (job,) = scan(far).pending
    proxy.lose_next(Loss.SILENT, 3)
    assert queue.claim(job) is not None
    assert proxy.lost == 3
    view = scan(near)
    assert (len(view.pending), len(view.claimed)) == (0, 1)


def test_a_redis_that_does_not_come_back(server: RedisServer, near: RedisBucket) -> None:
    near.create("a", b"1")
    server.kill()
    try:
        with pytest.raises(StoreUnavailableError) as caught:
            near.list("")
    finally:
        server.start()
    assert caught.value.code == "store-unavailable"
    assert [info.name for info in near.list("")] == ["a"]


@pytest.mark.parametrize("kills", [KILLS, pytest.param(MANY_KILLS, marks=pytest.mark.long)])
def test_what_was_acknowledged_outlives_the_servers_sudden_end(
    server: RedisServer, address: str, kills: int
) -> None:
    bucket, chance = redis_bucket(address, deadline=60), random.Random(SEED)
    acknowledged: dict[str, int] = {}
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            number = len(acknowledged)
            made = bucket.create(f"{names.PENDING}{number:06}", b"%d" % number)
            name = f"{names.CLAIMED}lab/{number:06}"
            acknowledged[name] = bucket.move(made.name, name, generation=made.generation).generation

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.02, 0.4))
            server.kill()
            server.start()
    finally:
        is_over.set()
        writer.join()
    assert len(acknowledged) >= kills
    found = {info.name: info.generation for info in bucket.list("")}
    assert found == acknowledged
    for name in acknowledged:
        assert bucket.read(name, limit=9) == b"%d" % int(name[-6:])
    bucket.close()
