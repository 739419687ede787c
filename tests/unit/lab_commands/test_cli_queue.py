"""``lab-agent queue | cancel | requeue``: what they need, what they print, how they end."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from lab_side.commands import queue as commands
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.errors import OrthancUnavailableError, StoreUnavailableError
from segrelay.manifest import JobManifest
from segrelay.queue import AgentQueue, SiteQueue, scan
from segrelay.queue.lease import store_now
from segrelay.signing import SigningKey
from segrelay.ulid import new_ulid
from tests.support.command_line import Cli, Running
from tests.support.jobs import make_manifest, make_result

VARIABLES = ("SEGRELAY_BUCKET", "SEGRELAY_SIGNING_KEY")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalBucket:
    """A queue whose address is all that is configured."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    bucket = LocalBucket(tmp_path / "queue")
    monkeypatch.setenv("SEGRELAY_BUCKET", bucket.describe())
    monkeypatch.setenv("SEGRELAY_AGENT_ID", "lab-1")
    return bucket


@pytest.fixture
def lab(capsys: pytest.CaptureFixture[str]) -> Cli:
    """``lab-agent``."""
    return Cli(capsys)


def submit(bucket: Bucket, **changes: object) -> JobManifest:
    manifest = make_manifest(**changes)  # type: ignore[arg-type]
    SiteQueue(bucket).submit(manifest)
    return manifest


def test_the_queue_as_tables(bucket: LocalBucket, lab: Cli) -> None:
    agent = Running(bucket)
    set_aside = submit(bucket)
    agent.reject()
    working = submit(bucket)
    agent.claim()
    waiting = submit(bucket, profile="other")
    bucket.create(f"{names.PENDING}by hand.json", b"{}")
    text = lab("queue")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert f"Queue {bucket.describe()} at " in lines[0]
    assert any(line.startswith("lab-1 listening ") and "NVIDIA H200" in line for line in lines)
    assert f"{working.job_id} lab-1 1 demo fetch 248/620" in lines
    assert f"{waiting.job_id} 5 other 0 no living agent has what it asks for" in lines
    assert f"{names.PENDING}by hand.json" in lines
    assert f"{set_aside.job_id} schema-newer Too?[2J new. Update." in lines


def test_an_empty_queue_is_told_in_words(bucket: LocalBucket, lab: Cli) -> None:
    text = lab("queue")
    assert "No agent has ever sent a heartbeat here." in text
    assert "No job is pending." in text


def test_the_queue_as_json(bucket: LocalBucket, lab: Cli) -> None:
    agent = Running(bucket)
    working = submit(bucket)
    agent.claim()
    waiting = submit(bucket)
    document = lab.json("queue")
    assert document["agents"][0] | {"beat_age_seconds": 0} == {
        "agent": "lab-1",
        "state": "listening",
        "reason": "",
        "device": "NVIDIA H200",
        "host": agent.identity.host,
        "version": "1",
        "profiles": ["demo"],
        "labels": [],
        "beat_age_seconds": 0,
        "lease_over": False,
        "passed_over": [],
    }
    assert [job["job_id"] for job in document["claimed"]] == [working.job_id]
    assert [job["job_id"] for job in document["pending"]] == [waiting.job_id]
    assert (document["rejected"], document["rejected_total"]) == ([], 0)


def test_an_agent_of_the_same_id_goes_on(bucket: LocalBucket, lab: Cli) -> None:
    agent = Running(bucket)
    job = submit(bucket)
    agent.claim()
    lab("queue")
    lab("cancel", job.job_id)
    lab("requeue", job.job_id, code=1)
    agent.lease.renew(agent.heartbeat())


class TestCancel:
    """``cancel``."""

    def test_a_waiting_job(self, bucket: LocalBucket, lab: Cli) -> None:
        job = submit(bucket)
        assert lab("cancel", job.job_id) == f"Job {job.job_id} is cancelled.\n"
        assert lab.json("cancel", job.job_id) == {
            "job_id": job.job_id,
            "state": "cancelled",
            "author": "lab-1",
            "agent": None,
        }

    def test_a_claimed_job(self, bucket: LocalBucket, lab: Cli) -> None:
        job = submit(bucket)
        Running(bucket, "lab-2").claim()
        assert "Agent lab-2 has it and stops" in lab("cancel", job.job_id)
        assert "has ended: cancelled" in lab("queue")

    def test_a_finished_job(self, bucket: LocalBucket, lab: Cli) -> None:
        job = submit(bucket)
        bucket.create(names.result_object(job.job_id), make_result(job.job_id, "lab-7").to_json())
        assert "succeeded, by lab-7" in lab("cancel", job.job_id, code=1)
        assert lab.json("cancel", job.job_id, code=1)["state"] == "succeeded"

    @pytest.mark.parametrize("verb", ["cancel", "requeue"])
    def test_a_mistyped_job(self, bucket: LocalBucket, lab: Cli, verb: str) -> None:
        for wrong in (new_ulid(), "typo"):
            assert lab(verb, wrong, "--json", code=2) == ""
            assert "remedy: " in lab.said.err
        assert bucket.list(names.RESULTS) == []

    def test_it_is_signed_where_a_key_is_set(
        self, bucket: LocalBucket, lab: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = submit(bucket)
        monkeypatch.setenv("SEGRELAY_SIGNING_KEY", SigningKey.new().text)
        lab("cancel", job.job_id)
        data = bucket.read(names.result_object(job.job_id), limit=10_000)
        assert json.loads(data)["segrelay_signed"] == 1


class TestRequeue:
    """``requeue``."""

    def test_a_rejected_job(self, bucket: LocalBucket, lab: Cli) -> None:
        agent = Running(bucket)
        job = submit(bucket)
        agent.reject()
        assert "back in the queue: it had been rejected" in lab("requeue", job.job_id)
        assert "waits for nothing but an agent" in lab("requeue", job.job_id)
        assert [item.name.job_id for item in scan(bucket).pending] == [job.job_id]

    def test_a_dead_agents_job(self, bucket: LocalBucket, lab: Cli) -> None:
        agent = Running(bucket)
        job = submit(bucket)
        agent.claim()
        agent.stop()
        assert lab.json("requeue", job.job_id) == {
            "job_id": job.job_id,
            "was": "claimed",
            "state": "pending",
            "changed": True,
            "agent": "lab-1",
            "forced": False,
        }

    def test_a_living_agents_job(self, bucket: LocalBucket, lab: Cli) -> None:
        job = submit(bucket)
        Running(bucket).claim()
        assert lab("requeue", job.job_id, code=1) == ""
        assert "--force" in lab.said.err
        assert "which is still alive" in lab("requeue", job.job_id, "--force")

    def test_a_job_that_waits(self, bucket: LocalBucket, lab: Cli) -> None:
        job = submit(bucket)
        agent = Running(bucket)
        _hand_back(agent)
        assert "not before" in lab("queue")
        assert "its wait is over" in lab("requeue", job.job_id)
        assert "not before" not in lab("queue")

    def test_a_job_without_attempts_left(self, bucket: LocalBucket, lab: Cli) -> None:
        job = submit(bucket, max_attempts=1)
        (pending,) = scan(bucket).pending
        queue = AgentQueue(bucket, "lab-3", now=lambda: store_now(bucket, "lab-3"))
        assert queue.claim(pending) is not None
        assert f"labseg retry {job.job_id}" in lab("requeue", job.job_id, code=1)

    def test_a_finished_job(self, bucket: LocalBucket, lab: Cli) -> None:
        job = submit(bucket)
        lab("cancel", job.job_id)
        lab("requeue", job.job_id, code=1)
        assert f"remedy: Run it again as a new job: manage.py labseg retry {job.job_id}" in (
            lab.said.err
        )


def _hand_back(agent: Running) -> None:
    claim = agent.queue.claim(scan(agent.bucket).pending[0])
    assert claim is not None
    away = OrthancUnavailableError("away")
    agent.queue.hand_back(claim, away, started=False, wait=timedelta(minutes=10))


@pytest.mark.parametrize("arguments", [("queue",), ("cancel", "x"), ("requeue", "x")])
def test_only_the_queue_must_be_configured(
    bucket: LocalBucket, lab: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.delenv("SEGRELAY_BUCKET")
    lab(*arguments, code=78)
    assert "SEGRELAY_BUCKET" in lab.said.err


def test_the_rest_of_the_file_does_not_matter(
    bucket: LocalBucket, lab: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(f'bucket = "{bucket.describe()}"\nwork_dir = "relative"\nagent_id = "lab-8"\n')
    monkeypatch.delenv("SEGRELAY_BUCKET")
    monkeypatch.delenv("SEGRELAY_AGENT_ID")
    job = submit(bucket)
    assert json.loads(lab("--config", str(file), "cancel", job.job_id, "--json"))["author"] == (
        "lab-8"
    )


def test_a_queue_that_is_away(
    bucket: LocalBucket, lab: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(commands, "overview_of", refuse)
    lab("queue", code=75)
    assert "store-unavailable" in lab.said.err
