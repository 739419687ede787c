"""Servers before Orthanc and before the bucket that misbehave at random: no job is lost for it.

``SEGRELAY_FRONT_MINUTES`` makes the long run shorter or longer; one that lasts an hour is
``SEGRELAY_FRONT_MINUTES=60 infra/test --long -k moody``.
"""

from __future__ import annotations

import os
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from infra.servers.orthanc import OrthancServer
from segrelay.names import JobName
from tests.conftest import SEED, Tell
from tests.support.lab.fast_lab import FastLab, attempts, check_once, events, open_fast_lab
from tests.support.servers.moody_front import MoodyFront, moody_front
from tests.support.servers.orthanc import fresh_orthanc as fresh_orthanc

MINUTES = float(os.environ.get("SEGRELAY_FRONT_MINUTES", "3"))
SHORT_S = 8.0
MOST_WAITING = 4


@dataclass
class Scene:
    """An agent between two fronts."""

    lab: FastLab
    orthanc: MoodyFront
    bucket: MoodyFront


@pytest.fixture
def scene(fresh_orthanc: OrthancServer, tmp_path: Path) -> Iterator[Scene]:
    token = tmp_path / "token"
    basic = b64encode(f"{fresh_orthanc.user}:{fresh_orthanc.password}".encode()).decode()

    def write(text: str) -> None:
        aside = token.with_suffix(".new")
        aside.write_text(f"{text}\n")
        aside.replace(token)

    with (
        open_fast_lab(fresh_orthanc, tmp_path, "gcs") as lab,
        moody_front(fresh_orthanc.url, SEED, new_token=write) as orthanc,
    ):
        orthanc.proxy.forwarded = {"authorization": f"Basic {basic}"}
        assert lab.queue.fake is not None
        with moody_front(lab.queue.fake.url, SEED + 1) as bucket:
            lab.orthanc_url = orthanc.proxy.url
            lab.queue = replace(
                lab.queue,
                environment={
                    "STORAGE_EMULATOR_HOST": bucket.proxy.url,
                    "SEGRELAY_ORTHANC_USER": "",
                    "SEGRELAY_ORTHANC_PASSWORD": "",
                    "SEGRELAY_ORTHANC_TOKEN_FILE": str(token),
                },
            )
            yield Scene(lab, orthanc, bucket)
            lab.stop_all()


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(SHORT_S, id="short"),
        pytest.param(60 * MINUTES, id="long", marks=pytest.mark.long),
    ],
)
def test_moody_fronts_cost_no_job_and_no_process(scene: Scene, seconds: float, tell: Tell) -> None:
    """I1 to I3 for every job; none fails, the process that was started first serves the last."""
    lab = scene.lab
    start_well(scene)
    jobs: list[JobName] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert lab.agents["lab-1"].poll() is None, lab.log("lab-1").read_text()[-3000:]
        if len(lab.live()) < MOST_WAITING:
            jobs.append(lab.submit())
        time.sleep(0.2)
    scene.orthanc.is_calm = scene.bucket.is_calm = True
    scene.orthanc.proxy.faults.clear()
    scene.bucket.proxy.faults.clear()
    lab.wait_until_settled()

    outcomes: Counter[str] = Counter()
    counted = []
    for job in jobs:
        records = attempts(lab, job)
        outcomes.update(f"{item.outcome.value}: {item.code}" for item in records)
        counted += [item for item in records if item.counts]
    tell(
        f"moody fronts, {seconds:.0f} s: {len(jobs)} jobs done once; attempts {dict(outcomes)}; "
        f"before Orthanc {dict(scene.orthanc.counts)}; before the bucket "
        f"{dict(scene.bucket.counts)}"
    )
    check_once(lab, jobs, {})
    # A claim whose answer was lost is returned as lost before work began: that costs nothing.
    assert not counted
    assert lab.agents["lab-1"].poll() is None
    said = Counter(item["event"] for item in events(lab))
    assert (said["Listening for jobs"], said["stopped"], said["stage failed"]) == (1, 0, 0)
    assert len(scene.orthanc.counts) > 2
    assert len(scene.bucket.counts) > 1


def start_well(scene: Scene) -> None:
    """The agent has one right answer of each before anything goes wrong: later it is final."""
    scene.orthanc.is_calm = scene.bucket.is_calm = True
    scene.lab.start()
    scene.lab.wait_for(lambda: scene.lab.is_serving("lab-1"), "the agent serves")
    scene.orthanc.is_calm = scene.bucket.is_calm = False
