"""``kill -9`` of the real agent; Orthanc away at the worst moment. Nothing lost, nothing twice."""

from __future__ import annotations

import psutil
import pytest

from segrelay.manifest import AttemptOutcome
from segrelay.names import JobName
from segrelay.queue import JobState
from segrelay.queue.records import read_attempt
from tests.support.lab.lab import Lab


def ended_once(lab: Lab, name: JobName, *, attempt: int) -> None:
    """One result, one SEG, the manifest archived once."""
    where = lab.wait_until_ended(name)
    assert where.state is JobState.SUCCEEDED, where
    assert where.result is not None
    assert where.result.seg is not None
    assert where.result.attempt == attempt
    assert [item["ID"] for item in lab.stored_segs()] == [where.result.seg.orthanc_id]
    lab.wait_for(lambda: _places(lab, name) == ["done"], "the job is archived once")
    lab.wait_for(lambda: not any((lab.home / "outbox").iterdir()), "the outbox is empty")


def _places(lab: Lab, name: JobName) -> list[str]:
    found = []
    for info in lab.bucket.list("v1/"):
        if name.job_id in info.name and "/results/" not in info.name:
            folder = info.name.split("/")[1]
            found.append(folder if folder != "jobs" else info.name.split("/")[2])
    return [folder for folder in found if folder not in ("attempts", "progress")]


def test_kill_in_the_middle_of_a_job(lab: Lab) -> None:
    name = lab.submit(profile="slow")
    agent = lab.start_agent()
    lab.wait_for(lambda: _stage(lab, name) == "infer", "the network runs")
    lab.kill_agent(agent)
    assert lab.where(name).state is JobState.CLAIMED

    lab.start_agent()
    ended_once(lab, name, attempt=2)
    lost = read_attempt(lab.bucket, name.job_id, 1)
    assert lost is not None
    assert (lost.outcome, lost.counts) == (AttemptOutcome.LOST, True)


@pytest.mark.long
def test_kill_between_seg_on_disk_and_result_with_orthanc_away(lab: Lab) -> None:
    name = lab.submit(profile="slow")
    agent = lab.start_agent()
    lab.wait_for(lambda: lab.has_event("series fetched"), "the series are here")
    lab.orthanc.kill()
    lab.wait_for(lambda: lab.has_event("delivery postponed"), "the upload failed")
    lab.kill_agent(agent)
    assert lab.where(name).result is None
    assert (lab.home / "outbox" / name.job_id / "seg.dcm").exists()

    lab.start_agent()
    lab.wait_for(lambda: lab.has_event("delivery postponed"), "Orthanc is still away")
    assert lab.where(name).state is JobState.CLAIMED
    lab.orthanc.start()
    ended_once(lab, name, attempt=1)
    assert not lab.has_event("SEG written"), "the second life inferred again"


@pytest.mark.long
def test_kill_after_the_upload_and_before_the_result(lab: Lab) -> None:
    """The SEG is in Orthanc already: it is recognised, not stored twice."""
    name = lab.submit(profile="slow")
    agent = lab.start_agent()
    lab.wait_for(lambda: lab.has_event("series fetched"), "the series are here")
    lab.orthanc.kill()
    lab.wait_for(lambda: lab.has_event("delivery postponed"), "the upload failed")
    lab.kill_agent(agent)
    lab.orthanc.start()
    seg = (lab.home / "outbox" / name.job_id / "seg.dcm").read_bytes()
    with lab.orthanc.session() as session:
        session.post(f"{lab.orthanc.url}/instances", data=seg).raise_for_status()

    lab.start_agent()
    ended_once(lab, name, attempt=1)


def test_the_worker_alone_is_killed(lab: Lab) -> None:
    """The attempt counts, the worker starts again, the job succeeds on its next attempt."""
    name = lab.submit(profile="slow")
    agent = lab.start_agent()
    lab.wait_for(lambda: _stage(lab, name) == "infer", "the network runs")
    (worker,) = psutil.Process(agent.pid).children()
    worker.kill()
    where = lab.wait_until_ended(name)
    assert where.state is JobState.SUCCEEDED
    assert where.result is not None
    assert where.result.attempt == 2
    assert agent.poll() is None
    assert len(lab.stored_segs()) == 1


def _stage(lab: Lab, name: JobName) -> str:
    progress = lab.where(name).progress
    return "" if progress is None else progress.stage
