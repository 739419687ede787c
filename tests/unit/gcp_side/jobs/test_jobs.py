"""The life of a job as the site sees it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction
from pytest_django import Settings

from gcp_side.labseg import jobs
from gcp_side.labseg.errors import JobNotFoundError, SubmissionRefusedError
from gcp_side.labseg.jobs import sync
from gcp_side.labseg.jobs.queue_from_row import manifest_of
from gcp_side.labseg.models import EventKind, Job, JobEvent, State
from gcp_side.labseg.queue.access import get_bucket
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.errors import (
    FixConfigurationError,
    ManifestRejectedError,
    OtherStudyError,
    StoreUnavailableError,
    TransientError,
)
from segrelay.manifest import JobManifest, ResultStatus, parse_job_manifest
from segrelay.names import JobName
from segrelay.queue import JobLocation, JobState, SiteQueue, scan
from segrelay.stages import Stage
from tests.unit.gcp_side.fakes import (
    FOUR,
    NOW,
    REPORT,
    SEG_ID,
    STUDY_ID,
    FakeAgent,
    FakeOrthanc,
    ended,
    series_id,
    series_info,
    succeeded,
)

pytestmark = pytest.mark.django_db(transaction=True)


def submit(orthanc: FakeOrthanc, **changes: object) -> Job:
    values: dict[str, object] = {"series_ids": FOUR} | changes
    job = jobs.submit(jobs.Submission(**values), orthanc=orthanc)  # type: ignore[arg-type]
    job.refresh_from_db()
    return job


def history(job: Job) -> list[tuple[str, int]]:
    return [(event.kind, event.attempt) for event in job.events.all()]


def manifests(bucket: Bucket) -> list[JobManifest]:
    return [
        parse_job_manifest(bucket.read(item.info.name, limit=1 << 20))
        for item in scan(bucket).pending
    ]


def test_a_submitted_job_is_in_the_queue(bucket: Bucket, orthanc: FakeOrthanc) -> None:
    orthanc.known[series_id(2)] = series_info(2, instances=7)
    job = submit(orthanc, priority=2)
    (manifest,) = manifests(bucket)
    assert manifest.job_id == job.job_id
    assert (manifest.profile, manifest.priority) == ("demo", 2)
    assert manifest.orthanc_study_id == STUDY_ID
    assert manifest.submitted_at == job.submitted_at
    assert [(item.role, item.orthanc_id, item.expected_instances) for item in manifest.series] == [
        ("dce-0", FOUR[0], 12),
        ("dce-1", FOUR[1], 12),
        ("dce-2", FOUR[2], 7),
        ("dce-3", FOUR[3], 12),
    ]
    assert job.state == State.PENDING
    assert history(job) == [("submitting", 0), ("pending", 0)]


def test_roles_given_by_the_user_go_before_the_configured_ones(
    bucket: Bucket, orthanc: FakeOrthanc
) -> None:
    submit(orthanc, profile="not-configured", series_ids=FOUR[:2], roles=("first", "second"))
    (manifest,) = manifests(bucket)
    assert manifest.profile == "not-configured"
    assert [item.role for item in manifest.series] == ["first", "second"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"series_ids": (*FOUR[:3], "../secrets")}, "series-id"),
        ({"series_ids": (*FOUR[:3], FOUR[3].upper())}, "series-id"),
        ({"series_ids": (*FOUR[:3], FOUR[0])}, "series-twice"),
        ({"series_ids": FOUR[:3]}, "series-count"),
        ({"series_ids": (*FOUR, series_id(4))}, "series-count"),
        ({"series_ids": ()}, "series-count"),
        ({"series_ids": (*FOUR[:3], series_id(9))}, "series-missing"),
        ({"profile": "unheard-of"}, "profile-unknown"),
        ({"profile": "../demo", "roles": ("a", "b", "c", "d")}, "request-invalid"),
        ({"roles": ("a", "b", "c", "c")}, "request-invalid"),
        ({"roles": ("a", "b", "c", "D d")}, "request-invalid"),
        ({"priority": 10}, "request-invalid"),
        ({"labels": ("Site A",)}, "request-invalid"),
        ({"labels": ("site-a", "")}, "request-invalid"),
        ({"labels": tuple(f"label-{number}" for number in range(17))}, "request-invalid"),
    ],
)
def test_a_wrong_request_stores_and_sends_nothing(
    bucket: Bucket, orthanc: FakeOrthanc, changes: dict[str, object], code: str
) -> None:
    with pytest.raises(SubmissionRefusedError) as caught:
        submit(orthanc, **changes)
    assert caught.value.code == code
    assert caught.value.remedy
    assert not Job.objects.exists()
    assert bucket.list("") == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"modality": "CT"}, "not-mr"),
        ({"modality": ""}, "not-mr"),
        ({"instances": 0}, "series-empty"),
        ({"study_id": series_id(5)}, "other-study"),
    ],
)
def test_series_that_cannot_be_used_are_refused_by_role(
    bucket: Bucket, orthanc: FakeOrthanc, changes: dict[str, object], code: str
) -> None:
    orthanc.known[series_id(1)] = series_info(1, **changes)
    with pytest.raises((SubmissionRefusedError, OtherStudyError), match="dce-1") as caught:
        submit(orthanc)
    assert caught.value.code == code
    assert not Job.objects.exists()
    assert bucket.list("") == []


class TestLabels:
    """What an agent must have to run a job."""

    def test_without_them_the_manifest_is_what_agents_of_the_first_schema_read(
        self, bucket: Bucket, orthanc: FakeOrthanc
    ) -> None:
        job = submit(orthanc)
        (pending,) = scan(bucket).pending
        document = json.loads(bucket.read(pending.info.name, limit=1 << 20))
        assert list(document) == [
            *("schema_version", "job_id", "profile", "priority", "submitted_at"),
            *("orthanc_study_id", "series", "max_attempts", "retry_of"),
        ]
        assert document["schema_version"] == "1.0"
        assert job.labels == []

    def test_they_are_kept_and_asked_for(self, bucket: Bucket, orthanc: FakeOrthanc) -> None:
        job = submit(orthanc, labels=("site-a", "gpu-24gb", "site-a"))
        (manifest,) = manifests(bucket)
        assert manifest.schema_version == "1.1"
        assert list(manifest.labels) == job.labels == ["gpu-24gb", "site-a"]
        other = submit(orthanc, labels=("gpu-24gb", "site-a"))
        assert other.labels == job.labels

    def test_only_an_agent_that_has_them_runs_the_job(
        self, bucket: Bucket, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submit(orthanc, labels=("site-a",))
        site_queue = agent.queue
        claim = site_queue.claim(scan(bucket).pending[0])
        assert claim is not None
        with pytest.raises(TransientError) as caught:
            site_queue.open(claim)
        assert caught.value.code == "labels"
        site_queue.hand_back(claim, caught.value, started=False, wait=timedelta(0))
        able = FakeAgent(bucket, "lab-2", labels=("gpu-24gb", "site-a"))
        able.finish(able.claim()[0])
        jobs.sync_all()
        job.refresh_from_db()
        assert job.state == State.SUCCEEDED

    def test_usual_ones_of_a_profile(
        self, settings: Settings, bucket: Bucket, orthanc: FakeOrthanc
    ) -> None:
        settings.SEGRELAY = settings.SEGRELAY | {"DEFAULT_LABELS": {"demo": ["site-a"]}}
        assert submit(orthanc).labels == ["site-a"]
        assert submit(orthanc, labels=("site-b",)).labels == ["site-b"]
        assert submit(orthanc, labels=()).labels == []
        assert submit(orthanc, profile="breast-dce-swinunetr").labels == []

    def test_a_lost_publication_is_made_good_with_the_same_bytes(
        self, bucket: Bucket, orthanc: FakeOrthanc, settings: Settings
    ) -> None:
        job = submit(orthanc, labels=("site-a",))
        (pending,) = scan(bucket).pending
        sent = bucket.read(pending.info.name, limit=1 << 20)
        settings.SEGRELAY = settings.SEGRELAY | {"DEFAULT_LABELS": {"demo": ["site-b"]}}
        assert manifest_of(jobs.find(job.pk)).to_json() == sent


def test_a_queue_that_cannot_be_opened_stores_nothing(
    settings: Settings, orthanc: FakeOrthanc, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": (tmp_path / "file" / "x").as_uri()}
    with pytest.raises(FixConfigurationError):
        submit(orthanc)
    assert not Job.objects.exists()


def test_nothing_is_published_when_the_transaction_rolls_back(
    bucket: Bucket, orthanc: FakeOrthanc
) -> None:
    with transaction.atomic():
        jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
        transaction.set_rollback(True)
    assert not Job.objects.exists()
    assert bucket.list("") == []


class TestALostPublication:
    """The row is committed; the bucket did not answer."""

    @pytest.fixture
    def broken(self, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
        def refuse(*_: object) -> None:
            raise StoreUnavailableError("away")

        monkeypatch.setattr(SiteQueue, "submit", refuse)
        return monkeypatch

    def test_sync_sends_it_again_once(
        self, bucket: Bucket, orthanc: FakeOrthanc, broken: pytest.MonkeyPatch
    ) -> None:
        job = submit(orthanc)
        assert job.state == State.SUBMITTING
        assert manifests(bucket) == []
        broken.undo()
        assert jobs.sync_all().changed == (job.job_id,)
        assert jobs.sync_all().changed == ()
        job.refresh_from_db()
        assert job.state == State.PENDING
        assert manifests(bucket) == [manifest_of(job)]

    def test_sync_leaves_a_fresh_one_to_its_submitter(
        self,
        orthanc: FakeOrthanc,
        broken: pytest.MonkeyPatch,
        settings: Settings,
    ) -> None:
        settings.SEGRELAY = settings.SEGRELAY | {"PUBLISH_GRACE_SECONDS": 3600}
        job = submit(orthanc)
        broken.undo()
        assert jobs.sync_all().changed == ()
        job.refresh_from_db()
        assert job.state == State.SUBMITTING
        assert manifests(get_bucket()) == []

    def test_one_that_did_arrive_is_not_sent_twice(
        self, bucket: Bucket, orthanc: FakeOrthanc, broken: pytest.MonkeyPatch, agent: FakeAgent
    ) -> None:
        job = submit(orthanc)
        broken.undo()
        SiteQueue(bucket).submit(manifest_of(job))
        agent.claim()
        assert jobs.sync_all().changed == (job.job_id,)
        job.refresh_from_db()
        assert (job.state, job.agent, job.attempt) == (State.CLAIMED, "lab-1", 1)
        assert scan(bucket).pending == ()


class TestALife:
    """From the queue to the result."""

    def test_progress_then_success(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        job = submit(orthanc)
        claim, _ = agent.claim()
        agent.tell(claim, Stage.FETCH, 40)
        jobs.sync_all()
        job.refresh_from_db()
        assert (job.state, job.agent, job.attempt) == (State.CLAIMED, "lab-1", 1)
        assert (job.stage, job.percent) == (Stage.FETCH, 40)

        agent.finish(claim)
        jobs.sync_all()
        job.refresh_from_db()
        assert (job.state, job.percent, job.stage) == (State.SUCCEEDED, 100, "")
        assert job.seg_orthanc_id == SEG_ID
        assert job.seg_sop_instance_uid == "1.2.3.9.1"
        assert job.seg_series_instance_uid == "1.2.3.9"
        assert job.tumour_found is True
        assert job.measurements[0]["volume_ml"] == 1.5
        assert job.provenance is not None
        assert job.provenance["stage_seconds"] == {"infer": 0.5}
        assert job.warnings == ["slow"]
        assert job.finished_at == NOW
        assert history(job) == [
            ("submitting", 0),
            ("pending", 0),
            ("claimed", 1),
            ("succeeded", 1),
        ]

    def test_a_result_with_a_report(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        job = submit(orthanc)
        agent.finish(agent.claim()[0], report=REPORT)
        job = jobs.refresh(job)
        assert job.state == State.SUCCEEDED
        assert job.report_orthanc_id == REPORT.orthanc_id
        assert job.report_sop_instance_uid == "1.2.3.10.1"
        assert job.report_series_instance_uid == "1.2.3.10"

    def test_reading_again_changes_nothing(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        job = submit(orthanc)
        claim, _ = agent.claim()
        for end in (False, True):
            if end:
                agent.finish(claim)
            jobs.sync_all()
            before = Job.objects.values().get(), list(JobEvent.objects.values())
            assert jobs.sync_all().changed == ()
            jobs.refresh(jobs.find(job.job_id))
            assert (Job.objects.values().get(), list(JobEvent.objects.values())) == before

    def test_failure_tells_reason_and_remedy(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        job = submit(orthanc)
        claim, _ = agent.claim()
        agent.queue.finish(claim, ended(job.job_id, ResultStatus.FAILED))
        job = jobs.refresh(job)
        assert job.state == State.FAILED
        assert job.failure_code == "missing-slice"
        assert (job.failure_reason, job.failure_remedy) == ("A slice is missing.", "Send it.")
        assert job.tumour_found is None
        assert job.seg_orthanc_id == ""
        assert job.events.get(kind="failed").text == "A slice is missing."

    def test_cancelled(self, bucket: Bucket, orthanc: FakeOrthanc) -> None:
        job = submit(orthanc)
        SiteQueue(bucket).cancel(job.job_id, now=NOW)
        job = jobs.refresh(job)
        assert (job.state, job.agent, job.failure_code) == (State.CANCELLED, "site", "")

    def test_a_rejection_tells_its_reason(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        job = submit(orthanc)
        claim, _ = agent.claim()
        error = ManifestRejectedError("Too new.", code="schema-newer", remedy="Update the agent.")
        agent.queue.reject(claim, error)
        job = jobs.refresh(job)
        assert (job.state, job.agent) == (State.REJECTED, "lab-1")
        assert (job.failure_code, job.failure_reason) == ("schema-newer", "Too new.")
        assert job.failure_remedy == "Update the agent."

    def test_a_rejection_whose_reason_is_broken_is_still_one(
        self, bucket: Bucket, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submit(orthanc)
        claim, _ = agent.claim()
        agent.queue.reject(claim, ManifestRejectedError("x"))
        bucket.replace(names.reason_object(claim.name.rejected), b"{")
        job = jobs.refresh(job)
        assert (job.state, job.failure_code) == (State.REJECTED, "rejected")
        assert job.failure_remedy

    @pytest.mark.parametrize("data", [b"{", b"[]", None], ids=["broken", "list", "foreign"])
    def test_a_result_that_cannot_be_believed(
        self, bucket: Bucket, orthanc: FakeOrthanc, data: bytes | None
    ) -> None:
        job = submit(orthanc)
        foreign = succeeded("01arz3ndektsv4rrffq69g5fav").to_json()
        info = bucket.create(names.result_object(job.job_id), foreign if data is None else data)
        job = jobs.refresh(job)
        assert (job.state, job.failure_code) == (State.RESULT_UNREADABLE, "result-unreadable")
        assert job.failure_reason
        assert job.seg_orthanc_id == ""

        # An operator put the true bytes back: a look at this job finds them.
        bucket.delete(info.name, generation=info.generation)
        bucket.create(info.name, succeeded(job.job_id).to_json())
        assert jobs.sync_all().looked_at == 0
        job = jobs.refresh(job)
        assert (job.state, job.failure_code) == (State.SUCCEEDED, "")
        assert job.failure_reason == ""

    def test_a_second_attempt_shows_no_progress_of_the_first(
        self, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submit(orthanc)
        claim, _ = agent.claim()
        agent.tell(claim, Stage.INFER, 80)
        jobs.sync_all()
        wait = TransientError("Orthanc is away.")
        agent.queue.hand_back(claim, wait, started=True, wait=NOW - NOW)
        jobs.sync_all()
        job.refresh_from_db()
        assert (job.state, job.agent, job.stage, job.percent) == (State.PENDING, "", "", 0)
        agent.claim()
        jobs.sync_all()
        job.refresh_from_db()
        assert (job.state, job.attempt, job.stage, job.percent) == (State.CLAIMED, 2, "", 0)
        assert history(job) == [
            ("submitting", 0),
            ("pending", 0),
            ("claimed", 1),
            ("attempt-ended", 1),
            ("pending", 1),
            ("claimed", 2),
        ]
        told = job.events.get(kind="attempt-ended")
        assert (told.outcome, told.text) == ("handed-back", "Orthanc is away.")

    def test_the_heartbeat_tells_progress_where_nothing_finer_does(
        self, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submit(orthanc)
        claim, _ = agent.claim()
        agent.heartbeat(state="listening", claim=claim)
        job = jobs.refresh(job)
        assert (job.stage, job.percent) == (Stage.INFER, 70)

    def test_a_dead_agents_job_goes_back_into_the_queue(
        self, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submit(orthanc)
        claim, _ = agent.claim()
        agent.heartbeat(state="stopped", claim=claim)
        report = jobs.sync_all()
        assert report.reaped == (job.job_id,)
        job.refresh_from_db()
        assert (job.state, job.attempt) == (State.PENDING, 1)
        assert job.events.get(kind="attempt-ended").outcome == "lost"

    def test_a_living_agents_job_is_left_alone(
        self, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        submit(orthanc)
        claim, _ = agent.claim()
        agent.heartbeat(state="listening", claim=claim)
        assert jobs.sync_all().reaped == ()

    def test_the_store_is_only_written_when_there_are_claims(
        self, bucket: Bucket, orthanc: FakeOrthanc
    ) -> None:
        submit(orthanc)
        jobs.sync_all()
        assert bucket.list(names.PROBE) == []

    def test_a_job_that_vanished_is_told_and_comes_back(
        self, bucket: Bucket, orthanc: FakeOrthanc
    ) -> None:
        job = submit(orthanc)
        (pending,) = scan(bucket).pending
        data = bucket.read(pending.info.name, limit=1 << 20)
        bucket.delete(pending.info.name, generation=pending.info.generation)
        jobs.sync_all()
        job.refresh_from_db()
        first = job.missing_since
        assert first is not None
        assert job.state == State.PENDING
        jobs.sync_all()
        job.refresh_from_db()
        assert job.missing_since == first
        bucket.create(pending.info.name, data)
        jobs.sync_all()
        job.refresh_from_db()
        assert job.missing_since is None


class TestIngest:
    """Compare-and-set."""

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
    def test_an_ended_job_never_changes(
        self, bucket: Bucket, orthanc: FakeOrthanc, state: State
    ) -> None:
        job = submit(orthanc)
        Job.objects.update(state=state)
        job.refresh_from_db()
        stale = SiteQueue(bucket).find(name_of(job), scan(bucket))
        assert stale.state is JobState.PENDING
        assert sync.ingest(job, stale, scan(bucket)) is False
        job.refresh_from_db()
        assert job.state == state

    def test_who_read_an_older_row_changes_nothing(
        self, bucket: Bucket, orthanc: FakeOrthanc
    ) -> None:
        job = submit(orthanc)
        slow, fast = jobs.find(job.job_id), jobs.find(job.job_id)
        view = scan(bucket)
        stale = JobLocation(state=JobState.CLAIMED, agent="lab-2", attempt=1)
        result = succeeded(job.job_id)
        done = JobLocation(state=JobState.SUCCEEDED, attempt=1, result=result)
        assert sync.ingest(fast, done, view) is True
        assert sync.ingest(slow, stale, view) is False
        assert slow.state == State.SUCCEEDED
        job.refresh_from_db()
        assert (job.state, job.agent) == (State.SUCCEEDED, "lab-1")
        assert EventKind.CLAIMED not in [kind for kind, _ in history(job)]


def test_the_status_looks_into_the_bucket_at_most_once_a_second(
    orthanc: FakeOrthanc, agent: FakeAgent, settings: Settings
) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"REFRESH_SECONDS": 60}
    job = jobs.refresh(submit(orthanc))
    agent.claim()
    assert jobs.refresh(jobs.find(job.job_id)).state == State.PENDING
    settings.SEGRELAY = settings.SEGRELAY | {"REFRESH_SECONDS": 0}
    assert jobs.refresh(jobs.find(job.job_id)).state == State.CLAIMED


def test_a_bucket_that_is_away_leaves_the_row_as_it_is(
    orthanc: FakeOrthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(orthanc)

    def refuse(*_: object) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(sync, "scan", refuse)
    assert jobs.refresh(job).state == State.PENDING
    with pytest.raises(StoreUnavailableError):
        jobs.sync_all()


def test_an_unknown_job_is_named_as_such() -> None:
    with pytest.raises(JobNotFoundError):
        jobs.find("01arz3ndektsv4rrffq69g5fav")


def test_the_manifest_of_a_row_is_the_same_bytes_after_the_database(orthanc: FakeOrthanc) -> None:
    job = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
    again = jobs.find(job.job_id)
    assert manifest_of(job).to_json() == manifest_of(again).to_json()


def test_states_are_those_of_the_queue_and_each_has_its_event() -> None:
    queue = {state.value for state in JobState} - {"unknown"}
    assert set(State.values) == queue | {"submitting"}
    assert set(EventKind.values) == set(State.values) | {"attempt-ended", "confirmed"}


def name_of(job: Job) -> JobName:
    return JobName(priority=job.priority, job_id=job.job_id, profile=job.profile, fence=0)
