"""Orthanc away for the length of 30 jobs: every SEG waits, and arrives once, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.fake_gcs import Fault, FaultKind
from infra.servers.orthanc import OrthancServer
from lab_side.agent.delivery.outbox import read_entries, waiting_folder
from segrelay.manifest import parse_result
from tests.support.lab.fast_lab import FastLab, attempts, check_once, events, open_fast_lab
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy
from tests.support.servers.orthanc import fresh_orthanc as fresh_orthanc

JOBS = 30
EVER = 10**6
MOST_CHANGES = 1000


@pytest.fixture
def proxy(fresh_orthanc: OrthancServer) -> Iterator[FaultProxy]:
    with fault_proxy(fresh_orthanc.url) as proxy:
        yield proxy


@pytest.fixture
def lab(fresh_orthanc: OrthancServer, proxy: FaultProxy, tmp_path: Path) -> Iterator[FastLab]:
    with open_fast_lab(fresh_orthanc, tmp_path, "directory") as lab:
        lab.orthanc_url = proxy.url
        yield lab


def test_i3_i4_thirty_segs_wait_through_an_outage_and_a_kill(
    lab: FastLab, proxy: FaultProxy
) -> None:
    """First uploads alone fail, so that jobs go on; then Orthanc dies; then the agent."""
    uploads = Fault(kind=FaultKind.STATUS, operation="POST", name_contains="/instances", times=EVER)
    proxy.faults.add(uploads)
    lab.start()
    jobs = [lab.submit() for _ in range(JOBS)]
    lab.wait_for(lambda: len(lab.outbox("lab-1")) == JOBS, "every job's SEG waits")
    lab.orthanc.kill()
    wait_for_another_failure(lab)
    lab.kill()
    lab.check_outbox("lab-1")
    oldest_first = [e.draft.job_id for e in read_entries(waiting_folder(lab.home("lab-1")))]
    assert set(oldest_first) == {job.job_id for job in jobs}

    lab.start()
    lab.wait_for(lambda: lab.is_serving("lab-1"), "the next life serves")
    wait_for_another_failure(lab)
    assert lab.results() == {}
    proxy.faults.clear()
    lab.orthanc.start()
    lab.wait_until_settled()

    check_once(lab, jobs, {})
    results = {job_id: parse_result(data) for job_id, data in lab.results().items()}
    assert {result.attempt for result in results.values()} == {1}, "nothing was made again"
    assert not any(attempts(lab, job) for job in jobs)
    segs = {result.seg.orthanc_id: job_id for job_id, result in results.items() if result.seg}
    assert_in_order([segs[item] for item in arrivals(lab) if item in segs], oldest_first)


def assert_in_order(arrived: list[str], oldest_first: list[str]) -> None:
    """All arrived once, oldest first; those that had just failed when the line came back, later."""
    assert len(arrived) == len(oldest_first)
    first = oldest_first.index(arrived[0])
    failed, others = oldest_first[:first], oldest_first[first:]
    assert [job for job in arrived if job not in failed] == others
    assert {job for job in arrived if job in failed} == set(failed)


def wait_for_another_failure(lab: FastLab) -> None:
    before = failures(lab)
    lab.wait_for(lambda: failures(lab) > before, "a delivery fails")


def failures(lab: FastLab) -> int:
    return sum(item["event"] == "delivery postponed" for item in events(lab))


def arrivals(lab: FastLab) -> list[str]:
    """Every instance that Orthanc has stored, in that order."""
    with lab.orthanc.session() as session:
        answer = session.get(f"{lab.orthanc.url}/changes", params={"limit": MOST_CHANGES})
    changes = answer.json()
    assert changes["Done"]
    return [item["ID"] for item in changes["Changes"] if item["ChangeType"] == "NewInstance"]
