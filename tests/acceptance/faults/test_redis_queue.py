"""The queue is a Redis that is killed, and so are its agents: nothing is lost or doubled."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from infra.servers.orthanc import OrthancServer
from infra.servers.redis import RedisServer
from tests.acceptance.faults.test_kill_storm import Storm
from tests.conftest import SEED
from tests.support.buckets.redis import redis_bucket
from tests.support.lab.fast_lab import FastLab, Queue, check_once, events, store_small_study

JOBS = 3
KILLS, MANY_KILLS = 2, 100
"""Of the Redis."""

AGENT_KILLS = 100


@pytest.fixture
def password() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def redis(password: str) -> Iterator[RedisServer]:
    user = f"lab on >{password} ~segrelay:* &segrelay:* +@all"
    with RedisServer({"user": user}) as server:
        yield server


@pytest.fixture
def lab(
    orthanc: OrthancServer, tmp_path: Path, redis: RedisServer, password: str
) -> Iterator[FastLab]:
    """A lab whose agents come with a user and a password."""
    study = store_small_study(orthanc, tmp_path / "study")
    with closing(redis_bucket(redis.address, deadline=60)) as bucket:
        queue = Queue(
            address=redis.address.replace("//", "//lab@"),
            bucket=bucket,
            environment={"SEGRELAY_REDIS_PASSWORD": password},
        )
        lab = FastLab(orthanc=orthanc, folder=tmp_path, study=study, queue=queue)
        yield lab
        lab.stop_all()
        assert password not in lab.log("lab-1").read_text()


@pytest.mark.parametrize("kills", [KILLS, pytest.param(MANY_KILLS, marks=pytest.mark.long)])
def test_kills_of_the_redis_lose_nothing(lab: FastLab, redis: RedisServer, kills: int) -> None:
    lab.start()
    lab.wait_for(lambda: lab.is_serving("lab-1"), "the agent listens")
    chance, jobs = random.Random(SEED), []
    for _ in range(kills):
        jobs += [lab.submit() for _ in range(JOBS)]
        time.sleep(chance.uniform(0.0, 1.5))
        redis.kill()
        time.sleep(chance.uniform(0.0, 0.5))
        redis.start()
    lab.wait_until_settled()
    check_once(lab, jobs, {})
    assert not [event for event in events(lab) if event["level"] == "error"]


@pytest.mark.long
def test_kills_of_agents_at_random_moments(lab: FastLab) -> None:
    Storm(lab=lab, chance=random.Random(SEED)).run(AGENT_KILLS)
