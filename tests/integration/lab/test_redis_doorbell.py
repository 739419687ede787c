"""An arrival in a Redis wakes the agent, also after the Redis was away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from infra.servers.redis import RedisServer
from lab_side.agent.doorbells import listening
from lab_side.agent.doorbells.redis import RedisDoorbell
from segrelay.queue import SiteQueue
from segrelay.retry import RetryPolicy
from tests.support.buckets.redis import redis_bucket
from tests.support.jobs import make_manifest

LIMIT = 20.0
"""Seconds to wait for a bell."""


def wait_until(what: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def rang() -> threading.Event:
    return threading.Event()


@pytest.fixture
def doorbell(
    server: RedisServer, rang: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RedisDoorbell]:
    monkeypatch.setattr(listening, "FAILED", RetryPolicy(first=0.05, longest=0.05))
    bell = RedisDoorbell(redis_bucket(server.address), rang)
    bell.supervise()
    wait_until(lambda: bell.is_listening)
    rang.clear()
    yield bell
    bell.close()


def test_a_submit_rings(
    server: RedisServer, doorbell: RedisDoorbell, rang: threading.Event
) -> None:
    assert not rang.wait(0.2)
    SiteQueue(redis_bucket(server.address)).submit(make_manifest())
    assert rang.wait(LIMIT)


def test_it_rings_after_the_redis_was_away_and_at_what_comes_then(
    server: RedisServer,
    doorbell: RedisDoorbell,
    rang: threading.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.kill()
    wait_until(lambda: not doorbell.is_listening)
    server.start()
    # What came meanwhile was not heard: so it is looked for.
    assert rang.wait(LIMIT)
    wait_until(lambda: doorbell.is_listening)
    rang.clear()
    SiteQueue(redis_bucket(server.address)).submit(make_manifest())
    assert rang.wait(LIMIT)
    assert [r.message for r in caplog.records].count("waiting for jobs failed") == 1


def test_a_connection_that_was_cut_is_made_again(
    server: RedisServer,
    doorbell: RedisDoorbell,
    rang: threading.Event,
) -> None:
    with closing(server.client()) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert rang.wait(LIMIT)
