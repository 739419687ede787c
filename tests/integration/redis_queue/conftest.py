"""A Redis for each file of tests, and a queue in it that nobody has used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.servers.redis import RedisServer
from segrelay.bucket.redis import RedisBucket
from tests.support.buckets.redis import fresh_address, redis_bucket


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def bucket(server: RedisServer) -> Iterator[RedisBucket]:
    bucket = redis_bucket(fresh_address(server.address))
    yield bucket
    bucket.close()
