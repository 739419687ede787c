"""The site with keys: it signs its jobs and believes signed results only."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from pytest_django import Settings

from gcp_side.labseg import jobs
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.jobs.queue_from_row import manifest_of
from gcp_side.labseg.models import State
from gcp_side.labseg.queue.access import get_bucket
from segrelay.bucket import open_bucket
from segrelay.bucket.sealed import SealedBucket
from segrelay.signing import Kind, SigningKey, Trust, open_envelope
from tests.unit.gcp_side.fakes import FOUR, FakeAgent, FakeOrthanc

pytestmark = pytest.mark.django_db(transaction=True)

SITE_KEY, AGENT_KEY = SigningKey.new(), SigningKey.new()


@pytest.fixture
def signed_settings(settings: Settings, orthanc: FakeOrthanc) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {
        "SIGNING_KEY": SITE_KEY.text,
        "AGENT_KEYS": [AGENT_KEY.public.text],
    }


def make_agent(key: SigningKey | None) -> FakeAgent:
    store = open_bucket(get_conf().bucket)
    return FakeAgent(SealedBucket(store, key, Trust.of(jobs=[SITE_KEY.public])))


@pytest.mark.usefixtures("signed_settings")
def test_a_submitted_job_is_signed(orthanc: FakeOrthanc) -> None:
    job = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
    assert job.state == State.PENDING
    (info,) = get_bucket().list("v1/jobs/pending/")
    stored = open_bucket(get_conf().bucket).read(info.name, limit=100_000)
    trust = Trust.of(jobs=[SITE_KEY.public])
    assert open_envelope(stored, Kind.JOB, trust) == manifest_of(job).to_json()


@pytest.mark.usefixtures("signed_settings")
@pytest.mark.parametrize(
    ("key", "state"),
    [
        (AGENT_KEY, State.SUCCEEDED),
        (SigningKey.new(), State.RESULT_UNREADABLE),
        (None, State.RESULT_UNREADABLE),
    ],
    ids=["trusted", "stranger", "unsigned"],
)
def test_only_a_trusted_agents_result_is_believed(
    orthanc: FakeOrthanc, key: SigningKey | None, state: State
) -> None:
    job = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
    agent = make_agent(key)
    claim, _ = agent.claim()
    agent.finish(claim)
    job = jobs.refresh(job)
    assert job.state == state
    if state is State.RESULT_UNREADABLE:
        assert "sign" in job.failure_reason
    assert bool(job.seg_orthanc_id) == (state is State.SUCCEEDED)


@pytest.mark.parametrize("changes", [{"SIGNING_KEY": "abc"}, {"AGENT_KEYS": ["abc"]}])
def test_a_broken_key_is_named_but_not_shown(
    settings: Settings, tmp_path: Path, changes: dict[str, object]
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": tmp_path.as_uri()} | changes
    (error,) = run_checks()
    assert next(iter(changes)) in error.msg
    assert error.hint is not None
    assert "abc" not in error.msg + error.hint


def test_keygen_prints_a_pair_that_belongs_together(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("labseg", "keygen")
    secret, public = capsys.readouterr().out.splitlines()
    key = SigningKey.from_text(secret.split()[0].removeprefix("SEGRELAY_SIGNING_KEY="))
    assert public == f"public key: {key.public.text}"
