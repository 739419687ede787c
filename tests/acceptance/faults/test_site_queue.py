"""The site keeps the queue, and is killed in the middle of calls: nothing is lost or doubled."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from infra.servers.orthanc import OrthancServer
from segrelay.bucket.site import SiteBucket
from tests.support.lab.fast_lab import FastLab, Queue, check_once, events, store_small_study
from tests.support.site.site_process import SiteProcess

JOBS = 6
KILLS = 4


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteProcess]:
    site = SiteProcess(tmp_path / "site")
    site.start()
    yield site
    site.kill()


@pytest.fixture
def lab(orthanc: OrthancServer, tmp_path: Path, site: SiteProcess) -> Iterator[FastLab]:
    """A lab whose agent has an address and a token, and nothing else."""
    study = store_small_study(orthanc, tmp_path / "study")
    address, token = site.token("lab-1")
    _, own = site.token("tests")
    with closing(SiteBucket(address, lambda: own)) as bucket:
        environment = {"SEGRELAY_QUEUE_TOKEN": token}
        queue = Queue(address=address, bucket=bucket, environment=environment)
        lab = FastLab(orthanc=orthanc, folder=tmp_path, study=study, queue=queue)
        yield lab
        lab.stop_all()


def test_the_token_of_another_agent_is_refused_and_its_own_is_all_it_needs(
    lab: FastLab, site: SiteProcess
) -> None:
    own = lab.queue.environment["SEGRELAY_QUEUE_TOKEN"]
    _, lab.queue.environment["SEGRELAY_QUEUE_TOKEN"] = site.token("lab-2")
    job = lab.submit()
    lab.start()
    assert lab.agents["lab-1"].wait(60) == 78
    (line,) = (event for event in events(lab) if event.get("code") == "bucket-forbidden")
    assert "lab-1" in str(line)
    assert "lab-2" in str(line)
    assert lab.live() == [job.pending]
    lab.queue.environment["SEGRELAY_QUEUE_TOKEN"] = own
    lab.start()
    lab.wait_until_settled()
    check_once(lab, [job], {})
    assert own not in lab.log("lab-1").read_text() + site.log.read_text()


@pytest.mark.long
def test_kills_of_the_site_lose_nothing(lab: FastLab, site: SiteProcess) -> None:
    lab.start()
    lab.wait_for(lambda: lab.is_serving("lab-1"), "the agent listens")
    chance, jobs = random.Random(20), []
    for _ in range(KILLS):
        jobs += [lab.submit() for _ in range(JOBS // 2)]
        # In the middle of whatever call is under way then.
        time.sleep(chance.uniform(0.0, 1.5))
        site.kill()
        time.sleep(chance.uniform(0.0, 0.5))
        site.start()
    lab.wait_until_settled()
    check_once(lab, jobs, {})
