"""A site whose queue is a Redis: its settings, its password, its checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from pytest_django import Settings

from gcp_side.labseg.conf import problems
from gcp_side.labseg.queue.access import get_bucket
from gcp_side.labseg.queue.checks import check_redis
from infra.servers.redis import RedisServer
from segrelay import names
from tests.support.buckets.redis import fresh_address

PASSWORD = "hunter2-of-a-redis"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer({"user": f"site on >{PASSWORD} ~* &* +@all"}) as server:
        yield server


@pytest.fixture
def address(server: RedisServer) -> str:
    return fresh_address(server.address).replace("//", "//site@")


def test_it_submits_with_a_user_and_a_password(address: str, settings: Settings) -> None:
    asked = []

    def password() -> str:
        asked.append(True)
        return PASSWORD

    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": address, "REDIS_PASSWORD": password}
    assert problems() == []
    bucket = get_bucket()
    bucket.create(f"{names.PENDING}a", b"{}")
    assert [info.name for info in bucket.list("")] == [f"{names.PENDING}a"]
    assert asked
    assert check_redis() == []
    assert PASSWORD not in bucket.describe()


def test_a_redis_that_may_lose_jobs_is_named_by_the_check(
    server: RedisServer, address: str, settings: Settings
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": address, "REDIS_PASSWORD": PASSWORD}
    with closing(server.client()) as admin:
        admin.config_set("appendfsync", "everysec")
        (found,) = check_redis()
        assert (found.id, "always" in str(found.hint)) == ("labseg.W012", True)
        admin.config_set("appendonly", "no")
        (found,) = check_redis()
        assert "appendonly" in found.msg
        admin.config_set("appendonly", "yes")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("redis://lab:secret@127.0.0.1/0/queue", "REDIS_PASSWORD"),
        ("redis://redis.example.org/0/queue", "rediss://"),
        ("redis://127.0.0.1/queue", "database number"),
        ("redis://127.0.0.1/0/queue?ssl=no", "allow_plain=yes"),
    ],
)
def test_an_address_that_is_refused(address: str, words: str, settings: Settings) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": address}
    (problem,) = problems()
    assert problem.key == "BUCKET"
    assert words in problem.message
    assert "secret@" not in problem.message
