"""A computer on which jobs fail: it says so, stops claiming, and goes on when it is well."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.fake_gcs import Fault, FaultKind
from infra.servers.orthanc import OrthancServer
from segrelay.names import JobName
from segrelay.queue import JobState, SiteQueue
from segrelay.queue.view import read_heartbeat
from tests.support.lab.fast_lab import FastLab, attempts, check_once, events, open_fast_lab
from tests.support.launcher import Launch
from tests.support.servers.fault_proxy import fault_proxy

EVER = 10**6


@pytest.fixture
def breakdown(tmp_path: Path) -> Path:
    """What the worker's GPU does."""
    return tmp_path / "breakdown"


def test_a_sick_gpu_claims_nothing_says_so_and_is_well_again(
    orthanc: OrthancServer, tmp_path: Path, breakdown: Path
) -> None:
    with open_fast_lab(orthanc, tmp_path / "lab", "directory") as lab:
        lab.start(launch=Launch(breakdown=breakdown))
        lab.wait_for(lambda: lab.is_serving("lab-1"), "the agent serves")
        breakdown.write_text("load")
        jobs = [lab.submit() for _ in range(3)]
        lab.wait_for(lambda: says(lab, "waiting", "self-test failed"), "the heartbeat says why")
        lab.wait_for(lambda: len(states(lab, jobs, JobState.PENDING)) == 3, "all are handed back")
        lab.wait_for(lambda: len(told(lab, "self-test failed")) > 2, "it is tested again")
        counted = [record.code for job in jobs for record in attempts(lab, job) if record.counts]
        assert counted == ["gpu-error"], "the failure that showed it, and no other job's"
        assert "self-test failed" in lab.command("status")
        breakdown.unlink()
        lab.wait_until_settled()
        check_once(lab, jobs, {})
        assert told(lab, "self-test passed")
        assert says(lab, "listening", "")


def test_a_gpu_that_is_sick_at_the_start_is_waited_for(
    orthanc: OrthancServer, tmp_path: Path, breakdown: Path
) -> None:
    """A SEG of an earlier life goes out meanwhile: that needs no GPU."""
    with (
        fault_proxy(orthanc.url) as proxy,
        open_fast_lab(orthanc, tmp_path / "lab", "directory") as lab,
    ):
        lab.orthanc_url = proxy.url
        proxy.faults.add(
            Fault(kind=FaultKind.STATUS, operation="POST", name_contains="/instances", times=EVER)
        )
        lab.start()
        ready = lab.submit()
        lab.wait_for(lambda: len(lab.outbox("lab-1")) == 1, "a SEG waits")
        lab.kill()
        proxy.faults.clear()

        breakdown.write_text("load")
        job = lab.submit()
        lab.start(launch=Launch(breakdown=breakdown))
        lab.wait_for(lambda: says(lab, "waiting", "self-test failed"), "the heartbeat says why")
        lab.wait_for(lambda: ready.job_id in lab.results(), "the SEG goes out")
        assert SiteQueue(lab.bucket).find(job).attempt == 0
        breakdown.unlink()
        lab.wait_until_settled()
        check_once(lab, [ready, job], {})


def test_jobs_that_fail_in_a_row_pause_the_agent_until_resume(
    orthanc: OrthancServer, tmp_path: Path, breakdown: Path
) -> None:
    """The self-test passes, the jobs fail all the same: a black hole."""
    with open_fast_lab(orthanc, tmp_path / "lab", "directory") as lab:
        breakdown.write_text("work")
        jobs = [lab.submit() for _ in range(4)]
        lab.start(launch=Launch(breakdown=breakdown, guard_minutes=60))
        lab.wait_for(lambda: says(lab, "paused", "3 different jobs in a row"), "it pauses")
        lab.wait_for(lambda: len(states(lab, jobs, JobState.PENDING)) == 4, "it holds nothing")
        assert "in a row failed here, the last with gpu-error" in lab.command("status")
        breakdown.unlink()
        lab.command("resume")
        lab.wait_until_settled()
        check_once(lab, jobs, {})


def test_a_black_hole_goes_on_by_itself_after_its_pause(
    orthanc: OrthancServer, tmp_path: Path, breakdown: Path
) -> None:
    with open_fast_lab(orthanc, tmp_path / "lab", "directory") as lab:
        breakdown.write_text("work")
        jobs = [lab.submit() for _ in range(4)]
        lab.start(launch=Launch(breakdown=breakdown))
        lab.wait_for(lambda: len(told(lab, "paused")) > 1, "it pauses again and again")
        breakdown.unlink()
        lab.wait_until_settled()
        check_once(lab, jobs, {})


def says(lab: FastLab, state: str, reason: str) -> bool:
    seen = read_heartbeat(lab.bucket, "lab-1")
    return seen is not None and seen.heartbeat.state == state and reason in seen.heartbeat.reason


def states(lab: FastLab, jobs: list[JobName], state: JobState) -> list[JobName]:
    return [job for job in jobs if SiteQueue(lab.bucket).find(job).state is state]


def told(lab: FastLab, name: str) -> list[dict[str, object]]:
    return [item for item in events(lab) if item["event"] == name]
