"""The queue over a real Redis: its transitions, and a fault at every operation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.servers.redis import RedisServer
from segrelay.bucket.redis import RedisBucket
from segrelay.queue import SiteQueue
from tests.integration.bucket.test_gcs_queue import WAYS, Way, assert_settled
from tests.support.buckets.faulty_bucket import Fault
from tests.support.buckets.redis import fresh_address, redis_bucket
from tests.support.jobs import make_manifest
from tests.support.servers.reply_proxy import Loss, reply_proxy
from tests.unit.common.queue import test_queue as transitions
from tests.unit.common.queue import test_queue_crashes as crashes

MOST_REQUESTS = 80
"""More than any way below needs; reaching it means that the loop never ended."""

# The tests and fixtures of the directory's queue; they ask for the fixture ``bucket`` below.
globals().update(
    {
        name: value
        for name, value in vars(transitions).items()
        if name.startswith("test_") or name in ("site", "lab")
    }
)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    # The faults here are the client's; the server is not killed.
    with RedisServer({"appendfsync": "no"}) as server:
        yield server


@contextlib.contextmanager
def fresh_bucket(server: RedisServer) -> Iterator[RedisBucket]:
    bucket = redis_bucket(fresh_address(server.address))
    try:
        yield bucket
    finally:
        bucket.close()


@pytest.fixture
def bucket(server: RedisServer) -> Iterator[RedisBucket]:
    with fresh_bucket(server) as bucket:
        yield bucket


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize(
    ("way", "submitted", "repeat"), WAYS, ids=lambda v: getattr(v, "__name__", "")
)
def test_i1_i3_whatever_operation_breaks_the_job_ends_once(
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fault: Fault,
    way: Way,
    submitted: bool,
    repeat: bool,
) -> None:
    with contextlib.ExitStack() as stack:
        monkeypatch.setattr(
            crashes, "LocalBucket", lambda _folder: stack.enter_context(fresh_bucket(server))
        )
        crashes.run_with_faults(tmp_path, fault, way, submitted=submitted, repeat=repeat)


@pytest.mark.parametrize("loss", [Loss.BEFORE, Loss.AFTER])
@pytest.mark.parametrize(
    ("way", "submitted", "repeat"), WAYS, ids=lambda v: getattr(v, "__name__", "")
)
def test_i1_i3_whatever_answer_is_swallowed_the_job_ends_once(
    server: RedisServer, loss: Loss, way: Way, submitted: bool, repeat: bool
) -> None:
    """The fault lies below the client's retry, which repeats what has already been done."""
    for at in range(MOST_REQUESTS):
        with fresh_bucket(server) as near, reply_proxy(server.port) as proxy:
            manifest = make_manifest()
            if submitted:
                SiteQueue(near).submit(manifest)
            far = redis_bucket(near.address.url.replace(f":{server.port}/", f":{proxy.port}/"))
            far.list("")
            proxy.lose_next(loss, skip=at)
            way(far, manifest)
            far.close()
            if repeat:
                way(near, manifest)
            crashes.Life(near).work()
            crashes.Life(near).work()
            assert_settled(near, manifest)
            if not proxy.lost:
                assert at > 0
                return
    pytest.fail("the loop never ended")
