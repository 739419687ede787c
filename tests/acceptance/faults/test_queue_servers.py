"""Agents whose queue has a server: who is let in, and answers that get lost."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.fake_gcs import FaultKind
from infra.fake_gcs.faults import Fault
from infra.servers.certificates import Authority
from infra.servers.redis import RedisServer
from tests.conftest import SEED, Tell
from tests.support.lab.fast_lab import FastLab, check_once, events
from tests.support.lab.fast_queues import AGENTS
from tests.support.servers.fault_proxy import fault_proxy
from tests.support.servers.orthanc import orthanc as orthanc
from tests.support.servers.reply_proxy import Loss, reply_proxy
from tests.support.site.site_process import SiteProcess

CONFIGURATION = 78

JOBS, JOBS_LONG = 8, 60
KILLS = 2
"""Of the Redis; :mod:`tests.acceptance.faults.test_kill_storm` kills it by the hundred."""

SWALLOWED = 0.1
"""Share of the requests that are carried out, and whose answer the agents do not get."""

MOST_REQUESTS = 20_000


@pytest.mark.parametrize("fast_lab", ["site-sqlite"], indirect=True)
def test_the_token_of_another_agent_is_refused_and_its_own_is_all_it_needs(
    fast_lab: FastLab,
) -> None:
    tokens = {agent: fast_lab.queue.environment_of(agent) for agent in AGENTS}
    token = tokens["lab-1"]["SEGRELAY_QUEUE_TOKEN"]
    job = fast_lab.submit()
    fast_lab.surroundings |= tokens["lab-2"]
    fast_lab.start()
    assert fast_lab.agents["lab-1"].wait(60) == CONFIGURATION
    (line,) = (event for event in events(fast_lab) if event.get("code") == "bucket-forbidden")
    assert "lab-1" in str(line)
    assert "lab-2" in str(line)
    assert fast_lab.live() == [job.pending]
    fast_lab.surroundings |= tokens["lab-1"]
    fast_lab.start()
    fast_lab.wait_until_settled()
    check_once(fast_lab, [job], {})
    assert isinstance(fast_lab.queue.server, SiteProcess)
    logs = fast_lab.log("lab-1").read_text() + fast_lab.queue.server.log.read_text()
    assert token not in logs


@pytest.mark.parametrize("fast_lab", ["site-sqlite", "rediss"], indirect=True)
def test_an_authority_that_is_not_trusted_is_named_and_the_right_one_is_all_it_needs(
    fast_lab: FastLab, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    fast_lab.surroundings["SEGRELAY_QUEUE_CA_FILE"] = str(Authority(tmp_path / "other").certificate)
    job = fast_lab.submit()
    fast_lab.start()
    assert fast_lab.agents["lab-1"].wait(60) == CONFIGURATION
    (line,) = (event for event in events(fast_lab) if event.get("code") == "bucket-certificate")
    assert "not trusted" in line["why"]
    assert "--queue-ca-file" in line["remedy"]
    assert fast_lab.live() == [job.pending]
    del fast_lab.surroundings["SEGRELAY_QUEUE_CA_FILE"]
    fast_lab.start()
    fast_lab.wait_until_settled()
    check_once(fast_lab, [job], {})


@pytest.mark.parametrize("fast_lab", ["redis"], indirect=True)
def test_kills_of_the_redis_lose_nothing_and_are_no_error(fast_lab: FastLab) -> None:
    server = fast_lab.queue.server
    assert server is not None
    fast_lab.start()
    fast_lab.wait_for(lambda: fast_lab.is_serving("lab-1"), "the agent listens")
    chance, jobs = random.Random(SEED), []
    for _ in range(KILLS):
        jobs += [fast_lab.submit() for _ in range(3)]
        time.sleep(chance.uniform(0.0, 1.5))
        server.kill()
        time.sleep(chance.uniform(0.0, 0.5))
        server.start()
    fast_lab.wait_until_settled()
    check_once(fast_lab, jobs, {})
    assert not [event for event in events(fast_lab) if event["level"] == "error"]
    password = fast_lab.queue.environment["SEGRELAY_REDIS_PASSWORD"]
    assert password not in fast_lab.log("lab-1").read_text()


@contextmanager
def swallowing_site(lab: FastLab, site: SiteProcess, chance: random.Random) -> Iterator[list[int]]:
    """A proxy in place of nginx, in four manners; gives how many it has swallowed, at the end."""
    kinds = (FaultKind.DROP_AFTER, FaultKind.STATUS_AFTER, FaultKind.CUT, FaultKind.RESET)
    swallowed: list[int] = []
    with fault_proxy(site.direct_url) as proxy:
        proxy.forwarded = {"host": "localhost", "x-forwarded-proto": "https"}
        for number in range(MOST_REQUESTS):
            if chance.random() < SWALLOWED:
                proxy.faults.add(Fault(kind=chance.choice(kinds), skip=number, status=502))
        lab.queue = replace(lab.queue, address=lab.queue.address.replace(site.url, proxy.url))
        yield swallowed
        swallowed.append(proxy.faults.hits)


@contextmanager
def swallowing_redis(
    lab: FastLab, server: RedisServer, chance: random.Random
) -> Iterator[list[int]]:
    """A proxy before a Redis; the same."""
    swallowed: list[int] = []
    with reply_proxy(server.port) as proxy:
        for _ in range(MOST_REQUESTS):
            is_lost = chance.random() < SWALLOWED
            proxy.lose_next(Loss.AFTER, times=is_lost, skip=not is_lost)
        place = f"{urlsplit(lab.queue.address).hostname}:{server.port}"
        address = lab.queue.address.replace(place, f"127.0.0.1:{proxy.port}")
        lab.queue = replace(lab.queue, address=address)
        yield swallowed
        swallowed.append(proxy.lost)


@pytest.mark.parametrize(
    ("fast_lab", "jobs"),
    [
        pytest.param("site-sqlite", JOBS_LONG, marks=pytest.mark.long),
        ("redis", JOBS),
        pytest.param("redis", JOBS_LONG, marks=pytest.mark.long),
    ],
    indirect=["fast_lab"],
)
def test_i1_i2_i3_swallowed_answers(fast_lab: FastLab, tell: Tell, jobs: int) -> None:
    """What a popped job does not outlive: it was taken, and who took it was not answered."""
    server, chance = fast_lab.queue.server, random.Random(SEED)
    if isinstance(server, SiteProcess):
        proxy = swallowing_site(fast_lab, server, chance)
    else:
        assert isinstance(server, RedisServer)
        proxy = swallowing_redis(fast_lab, server, chance)
    with proxy as swallowed:
        for agent in AGENTS:
            fast_lab.start(agent)
        submitted = [fast_lab.submit() for _ in range(jobs)]
        fast_lab.wait_until_settled()
        fast_lab.stop_all()
    check_once(fast_lab, submitted, {})
    assert swallowed[0] > jobs
    tell(
        f"seed {SEED}: {swallowed[0]} answers swallowed; {jobs} jobs, "
        f"{len(fast_lab.results())} results, {len(fast_lab.live())} stuck"
    )
