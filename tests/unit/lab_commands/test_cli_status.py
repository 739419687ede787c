"""``lab-agent status``: from the agent's own disk and the queue, whether it runs or not."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lab_side.agent.delivery.outbox import Outbox
from lab_side.agent.health.identity import this_process
from lab_side.agent.reporting import status
from segrelay import names
from segrelay.bucket.local import LocalBucket
from segrelay.errors import LocalDiskError, OrthancRefusedError, OrthancUnavailableError
from segrelay.manifest import utc_now
from segrelay.queue import Heartbeat, HeartbeatJob, Identity, SiteQueue, scan
from segrelay.queue.lease import LEASE
from tests.support.command_line import Cli, Running
from tests.support.jobs import make_manifest
from tests.support.waiting import make_entry

NOTHING_TO_DO, NOT_NOW, CONFIGURATION = 0, 75, 78


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An agent's folder, which is not there yet; its queue too. Orthanc is not configured."""
    for variable in ("SEGRELAY_SIGNING_KEY", "SEGRELAY_ORTHANC_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SEGRELAY_BUCKET", (tmp_path / "queue").as_uri())
    monkeypatch.setenv("SEGRELAY_AGENT_ID", "lab-1")
    monkeypatch.setenv("SEGRELAY_WORK_DIR", str(tmp_path / "work"))
    return tmp_path / "work" / "lab-1"


@pytest.fixture
def bucket(home: Path, tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "queue")


@pytest.fixture
def lab(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_before_the_first_run(lab: Cli, bucket: LocalBucket, home: Path) -> None:
    said = lines(lab("status"))
    assert said[0] == "Agent lab-1 has never run"
    assert said[1] == f"Queue {bucket.describe()}"
    assert said[2].startswith("Disk ")
    assert "No SEG waits." in said
    assert not home.exists(), "looking makes nothing"


def test_a_running_agent_and_its_jobs(lab: Cli, bucket: LocalBucket, home: Path) -> None:
    job = SiteQueue(bucket).submit(make_manifest())
    agent = Running(bucket)
    agent.claim()
    said = lines(lab("status"))
    assert said[0].startswith("Agent lab-1 runs: listening, on NVIDIA H200; last heartbeat 0 s ago")
    assert f"{job.job_id} 1 fetch 248/620" in said
    newer = HeartbeatJob(job_id=job.job_id, attempt=1, stage="seg", percent=90)
    bucket.replace(names.progress_object(job.job_id), newer.model_dump_json().encode())
    assert f"{job.job_id} 1 seg 90 %" in lines(lab("status"))
    found = lab.json("status")
    assert found["beat"]["life"] == "running"
    assert [(item["stage"], item["percent"]) for item in found["beat"]["jobs"]] == [("seg", 90)]


def test_progress_of_an_earlier_attempt_is_not_shown(lab: Cli, bucket: LocalBucket) -> None:
    job = SiteQueue(bucket).submit(make_manifest())
    Running(bucket).claim()
    older = HeartbeatJob(job_id=job.job_id, attempt=7, stage="seg", percent=90)
    bucket.replace(names.progress_object(job.job_id), older.model_dump_json().encode())
    assert f"{job.job_id} 1 fetch 248/620" in lines(lab("status"))


@pytest.mark.parametrize(
    ("state", "said"), [("stopped", "is stopped"), ("listening", "its process has ended")]
)
@pytest.mark.process
def test_an_agent_that_does_not_run(
    lab: Cli, bucket: LocalBucket, home: Path, state: str, said: str
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = this_process().model_copy(update={"pid": ended.pid})
    light(bucket, gone, state)
    make_entry(Outbox(home), home / "made", job_id="waits")
    text = lab("status")
    assert said in lines(text)[0]
    assert "when the agent starts" in text


def test_an_agent_of_another_computer_that_fell_silent(
    lab: Cli, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    light(bucket, this_process().model_copy(update={"host": "elsewhere"}), "listening")
    later = utc_now() + LEASE + timedelta(seconds=10)
    monkeypatch.setattr(status, "store_now", lambda _bucket, _agent: later)
    assert "is silent for longer than its lease" in lab("status")


def light(bucket: LocalBucket, identity: Identity, state: str) -> None:
    heartbeat = Heartbeat(identity=identity, state=state, version="1")
    bucket.take_over(names.agent_object("lab-1"), heartbeat.to_metadata(), generation=0)


def test_a_queue_that_does_not_answer_is_said_and_the_rest_is_told(
    lab: Cli, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "queue").write_bytes(b"not a folder")
    make_entry(Outbox(home), home / "made", job_id="waits")
    text = lab("status")
    assert "not known whether it runs" in text
    assert "[bucket-address]" in text
    assert "remedy: " in text
    assert "waits" in text
    found = lab.json("status")
    assert (found["beat"], found["queue_problem"]["code"]) == (None, "bucket-address")
    assert [item["job_id"] for item in found["waiting"]] == ["waits"]


def test_without_a_queue(lab: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGRELAY_BUCKET", "")
    assert "no queue is configured" in lab("status")


def test_what_waits_since_when_and_why(lab: Cli, bucket: LocalBucket, home: Path) -> None:
    Running(bucket)
    outbox = Outbox(home)
    old = make_entry(outbox, home / "1", job_id="old", written_at=utc_now() - timedelta(hours=3))
    make_entry(outbox, home / "2", job_id="new", written_at=utc_now())
    assert lab("status", code=NOTHING_TO_DO).count("not tried yet") == 2
    error = OrthancUnavailableError(
        "Orthanc cannot write to its disk.",
        code="orthanc-disk-full",
        remedy="Free space on Orthanc's disk; it is retried automatically.",
    )
    for _ in range(4):
        outbox.note_failure(old, error, utc_now() + timedelta(seconds=90))
    said = lines(lab("status", code=NOT_NOW))
    (row,) = (line for line in said if line.startswith("old "))
    assert row.startswith("old 3 h 0 kB 4 in ")
    assert row.endswith(
        "orthanc-disk-full: Orthanc cannot write to its disk. "
        "Free space on Orthanc's disk; it is retried automatically."
    )
    assert said.index(row) < next(n for n, line in enumerate(said) if line.startswith("new "))
    first, second = lab.json("status", code=NOT_NOW)["waiting"]
    assert (first["job_id"], first["size_bytes"], first["by_hand"]) == ("old", 3, True)
    assert (first["trouble"]["tries"], first["trouble"]["code"]) == (4, "orthanc-disk-full")
    assert first["trouble"]["next_at"] > first["trouble"]["at"]
    assert second["trouble"] is None


def test_a_try_that_is_overdue(lab: Cli, bucket: LocalBucket, home: Path) -> None:
    outbox = Outbox(home)
    entry = make_entry(outbox, home / "1", job_id="late")
    outbox.note_failure(entry, LocalDiskError("No."), utc_now() - timedelta(seconds=1))
    assert "when the agent runs" in lab("status", code=NOT_NOW)
    Running(bucket)
    (row,) = (line for line in lines(lab("status", code=NOT_NOW)) if line.startswith("late "))
    assert " 1 now local-disk: No. Free space on " in row


def test_what_was_set_aside_and_why(lab: Cli, bucket: LocalBucket, home: Path) -> None:
    outbox = Outbox(home)
    entry = make_entry(outbox, home / "1", job_id="big")
    outbox.refuse(entry, OrthancRefusedError("Too\x1b[2J large.", code="c", remedy="Raise it."))
    outbox.set_aside(entry)
    text = lab("status", code=NOT_NOW)
    assert "c: Too?[2J large. Raise it." in text
    assert "lab-agent outbox export" in text
    (item,) = lab.json("status", code=NOT_NOW)["refused"]
    assert (item["job_id"], item["trouble"]["remedy"]) == ("big", "Raise it.")
    assert Path(item["folder"]) == home / "refused/big"


def test_a_disk_that_is_nearly_full(
    lab: Cli, bucket: LocalBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "agent.toml"
    settings.write_text("min_free_gb = 1e9\n")
    monkeypatch.setenv("SEGRELAY_CONFIG", str(settings))
    assert "no job is claimed below" in lab("status")
    assert "Free space on this disk" in lab("status")
    disk: dict[str, Any] = lab.json("status")["disk"]
    assert disk["free_bytes"] < disk["watermark_bytes"]


def test_an_agents_folder_that_cannot_be_read(lab: Cli, bucket: LocalBucket, home: Path) -> None:
    home.mkdir(parents=True)
    (home / "outbox").touch()
    lab("status", code=NOT_NOW)
    assert "[local-disk]" in lab.said.err


def test_a_setting_that_is_wrong(lab: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGRELAY_WORK_DIR", "relative")
    lab("status", code=CONFIGURATION)
    assert "work_dir" in lab.said.err


def test_looking_disturbs_no_agent(lab: Cli, bucket: LocalBucket) -> None:
    agent = Running(bucket)
    before = json.dumps([info.name for info in bucket.list(names.VERSION)])
    lab("status")
    agent.lease.renew(agent.heartbeat())
    listed = [info.name for info in bucket.list(names.VERSION)]
    assert json.dumps([name for name in listed if not name.startswith(names.PROBE)]) == before
    assert scan(bucket).agents["lab-1"].heartbeat.identity == agent.identity
