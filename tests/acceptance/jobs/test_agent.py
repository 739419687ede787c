"""The real agent process: it serves, refuses bad input, goes on, and stops in order."""

from __future__ import annotations

import hashlib
import json
import signal

import pytest

from segrelay import names
from segrelay.manifest import ResultManifest
from segrelay.names import JobName
from segrelay.queue import JobState, SiteQueue, scan
from tests.support.jobs import orthanc_id
from tests.support.lab.lab import DEADLINE, PATIENT_NAME, Lab
from tests.support.networks.tiny_profile import write_tiny_profile

NOT_NOW = 75


def test_i2_i6_a_job_goes_the_whole_way_and_bad_ones_do_not_stop_the_agent(lab: Lab) -> None:
    same_twice = json.loads(lab.manifest().to_json())
    same_twice["series"][1]["orthanc_id"] = same_twice["series"][0]["orthanc_id"]
    rejected = {
        "manifest-not-json": put(lab, b"{"),
        "manifest-invalid": put(lab, json.dumps(same_twice).encode()),
        "schema-newer": put(lab, lab.manifest().to_json().replace(b'"1.0"', b'"2.0"')),
        "series-count": lab.submit(series=lab.series(lab.study.series_ids[:3])),
    }
    failed = {
        "series-missing": lab.submit(
            series=lab.series((*lab.study.series_ids[:3], orthanc_id(1234)))
        ),
        "series-incomplete": lab.submit(series=expecting(lab, lab.study.instances + 1)),
        "other-study": lab.submit(orthanc_study_id=orthanc_id(77)),
    }
    stray = lab.bucket.create(f"{names.PENDING}notes.txt", b"hello").name
    good = lab.submit(priority=9)

    lab.start_agent()
    done = lab.wait_until_ended(good)

    assert done.state is JobState.SUCCEEDED, done
    for code, name in rejected.items():
        where = lab.where(name)
        assert where.rejection is not None, code
        assert (where.state, where.rejection.code) == (JobState.REJECTED, code)
        assert where.rejection.remedy
    for code, name in failed.items():
        result = lab.where(name).result
        assert result is not None, code
        assert result.failure is not None
        assert (result.failure.code, bool(result.failure.remedy)) == (code, True)
    assert lab.bucket.list(stray) == []
    assert done.result is not None
    assert_seg_is_in_orthanc(lab, done.result)
    (agent,) = scan(lab.bucket).agents.values()
    told = {
        offer.name: tuple(item.role for item in offer.roles) for offer in agent.heartbeat.offers
    }
    assert told["tiny"] == tuple(item.role for item in lab.manifest().series)
    assert_nothing_leaked(lab)
    assert_lines_about_jobs_are_whole(lab, good)


@pytest.mark.long
def test_sigterm_finishes_the_job_on_the_gpu_and_hands_back_the_next(lab: Lab) -> None:
    first, second, third = lab.submit(), lab.submit(), lab.submit()
    agent = lab.start_agent()
    lab.wait_for(lambda: lab.has_event("series fetched"), "the first job is fetched")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(timeout=DEADLINE) == 0
    states = [lab.where(name).state for name in (first, second, third)]
    assert JobState.CLAIMED not in states
    again = lab.start_agent("once")
    assert again.wait(timeout=DEADLINE) == 0
    for name in (first, second, third):
        assert lab.where(name).state is JobState.SUCCEEDED
    assert len(lab.stored_segs()) == 3


@pytest.mark.long
def test_a_second_stop_cancels_and_the_job_comes_back_unharmed(lab: Lab) -> None:
    name = lab.submit(profile="slow", max_attempts=1)
    agent = lab.start_agent()
    lab.wait_for(lambda: _is_inferring(lab, name), "the network runs")
    agent.send_signal(signal.SIGTERM)
    lab.wait_for(lambda: lab.has_event("drain started"), "the first stop drains")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(timeout=DEADLINE) == 0
    where = lab.where(name)
    assert where.state is JobState.PENDING
    assert [(record.code, record.counts) for record in where.attempts] == [("stopping", False)]
    assert lab.start_agent("once").wait(timeout=DEADLINE) == 0
    assert lab.where(name).state is JobState.SUCCEEDED


def _is_inferring(lab: Lab, name: JobName) -> bool:
    progress = lab.where(name).progress
    return progress is not None and progress.stage == "infer"


@pytest.mark.long
def test_a_cancelled_job_is_not_run(lab: Lab) -> None:
    name = lab.submit()
    lab.bucket.create(
        names.result_object(name.job_id),
        ResultManifest.model_validate(
            {
                "job_id": name.job_id,
                "status": "cancelled",
                "author": "site",
                "nonce": "0" * 32,
                "attempt": 0,
                "finished_at": "2026-01-01T00:00:00Z",
            }
        ).to_json(),
    )
    assert lab.start_agent("once").wait(timeout=DEADLINE) == 0
    assert lab.where(name).state is JobState.CANCELLED
    assert not lab.has_event("series fetched")
    assert lab.stored_segs() == []


def reason_to_wait(lab: Lab) -> str:
    """What the agent told the queue with its last beat."""
    heartbeats = [seen.heartbeat for seen in scan(lab.bucket).agents.values()]
    return "".join(heartbeat.reason for heartbeat in heartbeats if heartbeat.state == "waiting")


def put(lab: Lab, data: bytes) -> JobName:
    """Publish bytes under a proper name; a JSON document gets the name's job id."""
    name = SiteQueue(lab.bucket).submit(lab.manifest())
    lab.bucket.delete(name.pending, generation=lab.bucket.stat(name.pending).generation)
    if len(data) > 1:
        document = {**json.loads(data), "job_id": name.job_id}
        data = json.dumps(document).encode()
    lab.bucket.create(name.pending, data)
    return name


def expecting(lab: Lab, count: int) -> list[dict[str, object]]:
    """The study's inputs, with another number of instances."""
    series = lab.series(lab.study.series_ids)
    return [{**item.model_dump(), "expected_instances": count} for item in series]


def assert_seg_is_in_orthanc(lab: Lab, result: ResultManifest) -> None:
    """I2: the result names exactly what Orthanc holds."""
    assert result.seg is not None
    segs = lab.stored_segs()
    assert [item["ID"] for item in segs] == [result.seg.orthanc_id]
    with lab.orthanc.session() as session:
        data = session.get(f"{lab.orthanc.url}/instances/{result.seg.orthanc_id}/file").content
    assert hashlib.sha256(data).hexdigest() == result.seg.sha256


def assert_nothing_leaked(lab: Lab) -> None:
    """I6: neither patient nor password in queue, results, logs or what is left on disk."""
    jobs = lab.home / "jobs"
    # Downloads are removed when the next job may start, which is after the result.
    lab.wait_for(lambda: not any(jobs.glob("*.used")), "the downloads are removed")
    written = [*lab.logs, *(path for path in lab.bucket.root.rglob("*") if path.is_file())]
    written += [path for path in lab.home.rglob("*") if path.is_file()]
    secrets = [part.encode() for part in (*PATIENT_NAME.split("^"), lab.orthanc.password)]
    for path in written:
        data = path.read_bytes()
        assert not any(secret in data for secret in secrets), path.name


def assert_lines_about_jobs_are_whole(lab: Lab, job: JobName) -> None:
    """Each carries the attempt and the stage, also in the files that the agent keeps."""
    kept = [json.loads(line) for line in (lab.home / "logs/lab-1.log").read_text().splitlines()]
    assert kept == lab.events()
    about = [item for item in kept if "job" in item]
    assert all({"attempt", "stage"} <= item.keys() for item in about)
    told = {item["event"]: item["stage"] for item in about if item["job"] == job.job_id}
    assert told == {
        "job claimed": "claimed",
        "job opened": "fetch",
        "series fetched": "fetch",
        "SEG written": "seg",
        "SEG stored": "upload",
    }


def test_i7_nothing_is_claimed_that_cannot_be_done_now(lab: Lab) -> None:
    """Another profile, a full disk, Orthanc away: the job waits, and nothing counts."""
    name = lab.submit()
    (lab.folder / "agent.toml").write_text("min_free_gb = 1e9\n")
    full_disk = lab.run_agent("--config", str(lab.folder / "agent.toml"), "--log", "json", "once")
    assert full_disk.returncode == NOT_NOW, full_disk.stderr
    assert "free under the work folder" in full_disk.stderr
    assert lab.where(name).state is JobState.PENDING

    write_tiny_profile(lab.folder / "profiles", "other")
    assert lab.run_agent("once", SEGRELAY_PROFILES="other").returncode == 0
    assert lab.where(name).state is JobState.PENDING

    lab.orthanc.kill()
    assert lab.run_agent("once").returncode == NOT_NOW
    where = lab.where(name)
    assert (where.state, where.attempt) == (JobState.PENDING, 0)

    # A service is up before the hospital's server: it says why it waits, and goes on by itself.
    agent = lab.start_agent()
    lab.wait_for(lambda: lab.has_event("Orthanc has not answered yet; jobs wait"), "a warning")
    lab.wait_for(lambda: "Orthanc did not answer" in reason_to_wait(lab), "the reason in the queue")
    lab.orthanc.start()
    assert lab.wait_until_ended(name).state is JobState.SUCCEEDED
    agent.terminate()
    assert agent.wait(timeout=DEADLINE) == 0
