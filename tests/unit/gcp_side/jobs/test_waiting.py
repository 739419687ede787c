"""Why a job waits, for the page, REST and the command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils.translation import override
from rest_framework.test import APIClient
from urllib3.exceptions import ConnectTimeoutError

from gcp_side.labseg import jobs
from gcp_side.labseg.jobs import agents as lab
from gcp_side.labseg.jobs.waiting import _NOT_CLAIMING, Waiting, why_waiting
from gcp_side.labseg.messages import explain_notice
from gcp_side.labseg.models import Job
from lab_side.agent.health.circuit_breaker import CircuitBreaker
from lab_side.agent.health.control import Pause
from lab_side.agent.health.gpu import GpuHealth
from segrelay.bucket import Bucket
from segrelay.errors import AttemptFailedError, StoreUnavailableError
from segrelay.notices import Notice, notice, notice_of
from segrelay.orthanc import OrthancSettings
from segrelay.orthanc.failures import no_answer, refusal
from segrelay.queue import lease
from tests.unit.gcp_side.fakes import FOUR, FakeAgent, FakeOrthanc

pytestmark = pytest.mark.django_db(transaction=True)

HANGUL = re.compile("[가-힣]")
DEMO = ("demo",)


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Whatever language the last request of another test was in."""
    with override("en"):
        yield


@pytest.fixture
def job(orthanc: FakeOrthanc) -> Job:
    """It asks for labels."""
    asking = jobs.Submission(series_ids=FOUR, labels=("site-a", "gpu-24gb"))
    job = jobs.submit(asking, orthanc=orthanc)
    job.refresh_from_db()
    return job


def agents(bucket: Bucket) -> tuple[FakeAgent, FakeAgent]:
    """One that has the labels, and one that has not."""
    able = FakeAgent(bucket, "lab-1", labels=("gpu-24gb", "new", "site-a"))
    return able, FakeAgent(bucket, "lab-2", labels=("site-a",))


def why(job: Job) -> Waiting:
    waiting = why_waiting(job)
    assert waiting is not None
    return waiting


def told(job: Job) -> tuple[str, str]:
    waiting = why(job)
    assert waiting.since is None
    return waiting.kind, waiting.text


class TestWhy:
    """``why_waiting``."""

    def test_nobody_ever(self, job: Job) -> None:
        assert told(job) == ("no-agent", "no agent has ever been online")

    @pytest.mark.parametrize("is_silent", [True, False])
    def test_nobody_now(
        self, job: Job, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, is_silent: bool
    ) -> None:
        agent.heartbeat(state="listening" if is_silent else "stopped", profiles=DEMO)
        real = lease.store_now
        if is_silent:
            monkeypatch.setattr(
                lab, "store_now", lambda *names: real(*names) + timedelta(seconds=121)
            )
        waiting = why(job)
        assert waiting.since == lab.snapshot().last_seen is not None
        assert waiting.kind == "no-agent"
        assert waiting.text == f"no agent online since {waiting.since:%Y-%m-%d %H:%M} UTC"

    def test_nobody_with_the_profile(self, job: Job, bucket: Bucket) -> None:
        for one in agents(bucket):
            one.heartbeat(profiles=("brain", "breast"))
        assert told(job) == ("no-profile", "no agent online has the profile demo")

    def test_nobody_with_the_labels(self, job: Job, bucket: Bucket) -> None:
        able, other = agents(bucket)
        other.heartbeat(profiles=DEMO)
        # It has the labels, and another profile.
        able.heartbeat(profiles=("brain",))
        text = "no agent online has this profile and the labels gpu-24gb, site-a"
        assert told(job) == ("no-labels", text)
        able.heartbeat(profiles=DEMO, state="stopped")
        assert told(job) == ("no-labels", text)

    @pytest.mark.parametrize(
        ("state", "reason", "text"),
        [
            ("paused", "training", "lab-1 has paused (training)"),
            ("paused", "", "lab-1 has paused"),
            (
                "waiting",
                "The GPU's self-test failed: no device.",
                "lab-1 claims nothing for now (The GPU's self-test failed: no device.)",
            ),
            ("draining", "", "lab-1 is being stopped"),
            ("starting", "", "lab-1 is starting"),
        ],
    )
    def test_none_that_could_run_it_claims(
        self, job: Job, bucket: Bucket, state: str, reason: str, text: str
    ) -> None:
        able, other = agents(bucket)
        able.heartbeat(state=state, reason=reason, profiles=DEMO)
        other.heartbeat(profiles=DEMO)
        assert told(job) == ("not-claiming", text)

    def test_each_state_in_which_nothing_is_claimed_has_a_sentence(self) -> None:
        assert {*_NOT_CLAIMING, lease.AgentState.LISTENING, lease.AgentState.STOPPED} == {
            *lease.AgentState
        }

    def test_all_that_could_run_it_are_named(self, job: Job, bucket: Bucket) -> None:
        able, other = agents(bucket)
        able.heartbeat(state="paused", reason="training", profiles=DEMO)
        other.labels = able.labels
        other.heartbeat(state="draining", profiles=DEMO)
        text = "lab-1 has paused (training); lab-2 is being stopped"
        assert told(job) == ("not-claiming", text)

    def test_in_line(self, job: Job, bucket: Bucket) -> None:
        able, other = agents(bucket)
        able.heartbeat(profiles=DEMO)
        other.heartbeat(profiles=DEMO)
        assert told(job) == ("in-line", "1 agent online")
        # Without room for its profiles in the heartbeat, and in a state of the future.
        other.labels = able.labels
        other.heartbeat(state="dreaming")
        assert told(job) == ("in-line", "2 agents online")

    def test_a_queue_that_does_not_answer(self, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: object) -> None:
            raise StoreUnavailableError("The bucket is away.")

        monkeypatch.setattr(lab, "scan", away)
        assert told(job) == ("no-queue", "the queue does not answer")

    def test_a_job_in_work_or_at_its_end_does_not_wait(
        self, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        submitted = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
        submitted.refresh_from_db()
        claim, _ = agent.claim()
        assert why_waiting(jobs.take_in(submitted.pk)) is None
        agent.finish(claim)
        assert why_waiting(jobs.take_in(submitted.pk)) is None


class TestWhoIsTold:
    """REST in both languages, and the command."""

    def test_the_status(self, client: APIClient, job: Job, bucket: Bucket) -> None:
        agents(bucket)[0].heartbeat(state="paused", reason="training", profiles=DEMO)
        path = f"/api/mri/segmentation/status/{job.pk}/"
        answer: Any = client.get(path)
        assert answer.json()["waiting"] == {
            "kind": "not-claiming",
            "text": "lab-1 has paused (training)",
            "since": None,
        }
        korean: Any = client.get(path, HTTP_ACCEPT_LANGUAGE="ko")
        assert korean.json()["waiting"]["text"] == "lab-1이(가) 일시 중지함 (training)"
        jobs.cancel(job.pk)
        after: Any = client.get(path)
        assert after.json()["waiting"] is None

    def test_show(self, job: Job, bucket: Bucket) -> None:
        agents(bucket)[1].heartbeat(profiles=DEMO)
        why_not = "no agent online has this profile and the labels gpu-24gb, site-a"
        out = StringIO()
        with override("ko"):
            call_command("labseg", "show", job.pk, stdout=out)
        assert re.search(rf"^now +waiting in the queue: {why_not}$", out.getvalue(), re.MULTILINE)
        out = StringIO()
        call_command("labseg", "show", job.pk, "--json", stdout=out)
        assert json.loads(out.getvalue())["waiting"]["text"] == why_not

    def test_agents_report_labels_and_reason(self, client: APIClient, bucket: Bucket) -> None:
        reason = "The GPU's self-test failed: no device."
        why = notice("gpu-test-failed", text=reason, why="worker-error")
        agents(bucket)[1].heartbeat(state="waiting", reason=reason, notice=why, profiles=DEMO)
        path = "/api/mri/segmentation/agents/"
        english: Any = client.get(path)
        (shown,) = english.json()["agents"]
        assert (shown["labels"], shown["reason"]) == (["site-a"], reason)
        korean: Any = client.get(path, HTTP_ACCEPT_LANGUAGE="ko")
        assert korean.json()["agents"][0]["reason"] == (
            "GPU 시험이 실패함: 분할 프로그램에서 오류가 발생했습니다."
        )


def reasons_of_the_lab() -> list[Notice]:
    """One of each kind, as agents write them, but for a person's own words."""
    until = datetime(2026, 5, 4, 18, tzinfo=UTC)
    ordered: list[Pause] = []
    guard = CircuitBreaker(1, pause=ordered.append)
    guard.failed("one", AttemptFailedError("It failed.", code="worker-hung"))
    worker: Any = None
    health = GpuHealth(worker)
    health.doubt(AttemptFailedError("It failed.", code="worker-died"))
    reasons = [Pause(at=until, until=until).notice(), ordered[0].notice(), health.notice]
    health.fall_sick(AttemptFailedError("CUDA is gone."))
    problems = (
        no_answer(ConnectTimeoutError()),
        refusal(503, b"", OrthancSettings(url="https://orthanc.example.org")),
    )
    reasons += [health.notice, *map(notice_of, problems), notice("disk-low", free_gb=1.5)]
    return [item for item in reasons if item is not None]


def test_every_reason_of_the_lab_is_shown_in_korean() -> None:
    reasons = reasons_of_the_lab()
    assert len(reasons) == 7
    assert all(explain_notice(item.text, item) == item.text for item in reasons)
    with override("ko"):
        assert [
            item for item in reasons if not HANGUL.search(explain_notice(item.text, item))
        ] == []
        assert explain_notice("Kim trains", None) == "Kim trains"
        by_person = Pause(at=datetime.now(UTC), reason="Kim trains").notice()
        assert explain_notice("Kim trains", by_person) == "Kim trains"
