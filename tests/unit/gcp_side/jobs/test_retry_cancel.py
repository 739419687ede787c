"""Calling a job off and running it again, whatever the agents do meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from gcp_side.labseg import jobs
from gcp_side.labseg.errors import JobNotFoundError, JobStateError, SubmissionRefusedError
from gcp_side.labseg.jobs import submission, sync
from gcp_side.labseg.jobs.queue_from_row import manifest_of
from gcp_side.labseg.models import Job, State
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.errors import ManifestRejectedError, StoreUnavailableError
from segrelay.manifest import ResultStatus, parse_job_manifest
from segrelay.queue import SiteQueue, scan
from segrelay.queue.operator import OperatorQueue
from tests.unit.gcp_side.fakes import (
    FOUR,
    FakeAgent,
    FakeOrthanc,
    ended,
    series_id,
    series_info,
    succeeded,
)

pytestmark = pytest.mark.django_db(transaction=True)

UNKNOWN = "01arz3ndektsv4rrffq69g5fav"

REFUSED = ManifestRejectedError("Too new.", code="schema-newer", remedy="Update the agent.")


def submit(orthanc: FakeOrthanc, **changes: object) -> Job:
    values: dict[str, object] = {"series_ids": FOUR} | changes
    job = jobs.submit(jobs.Submission(**values), orthanc=orthanc)  # type: ignore[arg-type]
    job.refresh_from_db()
    return job


def run(*arguments: str, stderr: StringIO | None = None) -> str:
    out = StringIO()
    call_command("labseg", *arguments, stdout=out, stderr=stderr or StringIO())
    return out.getvalue()


def refused(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    assert "Remedy: " in str(caught.value)
    return caught.value


def waiting(bucket: Bucket) -> list[str]:
    return [item.name.job_id for item in scan(bucket).pending]


def kinds(job: Job) -> list[str]:
    return [event.kind for event in job.events.all()]


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The bucket answers nothing, until undone."""

    def refuse(*_: object, **__: object) -> None:
        raise StoreUnavailableError("The queue did not answer.")

    monkeypatch.setattr(SiteQueue, "submit", refuse)
    monkeypatch.setattr(sync, "scan", refuse)
    return monkeypatch


class TestCancel:
    """``jobs.cancel``."""

    def test_a_waiting_job_ends_at_once(self, bucket: Bucket, orthanc: FakeOrthanc) -> None:
        job = jobs.cancel(submit(orthanc).pk)
        assert (job.state, job.agent, job.failure_code) == (State.CANCELLED, "site", "")
        assert job.finished_at is not None
        assert waiting(bucket) == []
        assert kinds(job)[-1] == "cancelled"

    def test_twice_is_once(self, bucket: Bucket, orthanc: FakeOrthanc) -> None:
        job = jobs.cancel(submit(orthanc).pk)
        before = Job.objects.values().get()
        assert jobs.cancel(job.pk).state == State.CANCELLED
        assert Job.objects.values().get() == before
        assert len(bucket.list(names.RESULTS)) == 1

    def test_a_claimed_job_is_never_run(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        job = submit(orthanc)
        claim, _ = agent.claim()
        assert jobs.cancel(job.pk).state == State.CANCELLED
        assert agent.queue.open(claim) is None

    def test_an_agent_that_was_faster_is_what_stands(
        self, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submit(orthanc)
        agent.finish(agent.claim()[0])
        job = jobs.cancel(job.pk)
        assert (job.state, job.tumour_found) == (State.SUCCEEDED, True)

    def test_an_agent_that_is_slower_cannot_change_it(
        self, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submit(orthanc)
        claim, _ = agent.claim()
        jobs.cancel(job.pk)
        assert agent.finish(claim).status is ResultStatus.CANCELLED
        assert jobs.refresh(jobs.find(job.pk)).state == State.CANCELLED

    @pytest.mark.parametrize("data", [b"{", b""])
    def test_an_unreadable_result_stands(
        self, bucket: Bucket, orthanc: FakeOrthanc, data: bytes
    ) -> None:
        job = submit(orthanc)
        bucket.create(names.result_object(job.pk), data)
        assert jobs.cancel(job.pk).state == State.RESULT_UNREADABLE

    def test_a_rejected_job_has_ended(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        job = submit(orthanc)
        agent.queue.reject(agent.claim()[0], REFUSED)
        job = jobs.cancel(job.pk)
        assert (job.state, job.cancel_requested_at) == (State.REJECTED, None)
        assert agent.bucket.list(names.RESULTS) == []

    def test_a_rejected_job_that_the_lab_put_back_can_be_called_off(
        self, bucket: Bucket, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submit(orthanc)
        agent.queue.reject(agent.claim()[0], REFUSED)
        jobs.sync_all()
        OperatorQueue(bucket, "lab-1", is_dead=lambda _: False).requeue(job.pk)
        assert jobs.cancel(job.pk).state == State.CANCELLED

    def test_a_job_that_the_queue_has_lost_can_be_ended(
        self, bucket: Bucket, orthanc: FakeOrthanc
    ) -> None:
        job = submit(orthanc)
        (pending,) = scan(bucket).pending
        bucket.delete(pending.info.name, generation=pending.info.generation)
        jobs.sync_all()
        job = jobs.cancel(job.pk)
        assert (job.state, job.missing_since) == (State.CANCELLED, None)

    def test_an_unknown_job(self, bucket: Bucket) -> None:
        with pytest.raises(JobNotFoundError):
            jobs.cancel(UNKNOWN)
        assert bucket.list(names.RESULTS) == []

    def test_a_job_that_never_reached_the_queue_is_not_sent_later(
        self, bucket: Bucket, orthanc: FakeOrthanc, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise StoreUnavailableError("away")

        monkeypatch.setattr(SiteQueue, "submit", refuse)
        job = submit(orthanc)
        assert job.state == State.SUBMITTING
        monkeypatch.undo()
        assert jobs.cancel(job.pk).state == State.CANCELLED
        assert jobs.sync_all().changed == ()
        assert waiting(bucket) == []

    @pytest.mark.parametrize("look", ["sync", "refresh"])
    def test_a_wish_outlives_a_bucket_that_is_away(
        self, bucket: Bucket, orthanc: FakeOrthanc, away: pytest.MonkeyPatch, look: str
    ) -> None:
        job = submit(orthanc)
        with pytest.raises(StoreUnavailableError):
            jobs.cancel(job.pk)
        job = jobs.refresh(jobs.find(job.pk))
        assert job.state == State.SUBMITTING
        assert job.cancel_requested_at is not None
        away.undo()
        if look == "sync":
            assert jobs.sync_all().changed == (job.pk,)
        else:
            jobs.refresh(jobs.find(job.pk))
        job = jobs.find(job.pk)
        assert job.state == State.CANCELLED
        assert waiting(bucket) == []
        assert kinds(job) == ["submitting", "cancelled"]

    def test_a_submission_under_way_meets_the_result(
        self, bucket: Bucket, orthanc: FakeOrthanc, agent: FakeAgent, away: pytest.MonkeyPatch
    ) -> None:
        """The submitter had asked for a result before the cancellation wrote it."""
        job = submit(orthanc)
        away.undo()
        jobs.cancel(job.pk)
        away.setattr("segrelay.queue.site.exists", lambda *_: False)
        assert not sync.publish(job, SiteQueue(bucket))
        assert jobs.find(job.pk).state == State.CANCELLED
        claim = agent.queue.claim(scan(bucket).pending[0])
        assert claim is not None
        assert agent.queue.open(claim) is None
        assert scan(bucket).claimed == ()


def fail(agent: FakeAgent) -> None:
    claim, _ = agent.claim()
    agent.queue.finish(claim, ended(claim.job_id, ResultStatus.FAILED))


def reject(agent: FakeAgent) -> None:
    agent.queue.reject(agent.claim()[0], REFUSED)


def spoil(agent: FakeAgent) -> None:
    claim, _ = agent.claim()
    agent.bucket.create(names.result_object(claim.job_id), b"{")
    agent.queue.archive(claim, ResultStatus.FAILED)


def call_off(agent: FakeAgent) -> None:
    jobs.cancel(waiting(agent.bucket)[0])


class TestRetry:
    """``jobs.retry``."""

    @pytest.mark.parametrize("end", [fail, reject, spoil, call_off])
    def test_the_same_again_under_a_new_id(
        self,
        bucket: Bucket,
        orthanc: FakeOrthanc,
        agent: FakeAgent,
        end: Callable[[FakeAgent], None],
    ) -> None:
        old = submit(orthanc, profile="mine", series_ids=FOUR[:2], roles=("a", "b"), priority=2)
        end(agent)
        again = jobs.retry(old.pk, orthanc=orthanc)
        assert again.is_new
        new = again.job
        assert new.pk != old.pk
        (pending,) = scan(bucket).pending
        manifest = parse_job_manifest(bucket.read(pending.info.name, limit=10_000))
        assert (manifest.job_id, manifest.retry_of) == (new.pk, old.pk)
        assert (manifest.profile, manifest.priority) == ("mine", 2)
        assert [(item.role, item.orthanc_id) for item in manifest.series] == [
            ("a", FOUR[0]),
            ("b", FOUR[1]),
        ]
        assert list(jobs.find(old.pk).retries.all()) == [new]

    @pytest.mark.parametrize("labels", [(), ("gpu-24gb", "site-a")])
    def test_the_labels_stay_whatever_is_usual_meanwhile(
        self,
        settings: Settings,
        orthanc: FakeOrthanc,
        agent: FakeAgent,
        labels: tuple[str, ...],
    ) -> None:
        old = submit(orthanc, labels=labels)
        call_off(agent)
        settings.SEGRELAY = settings.SEGRELAY | {"DEFAULT_LABELS": {"demo": ["site-b"]}}
        new = jobs.retry(old.pk, orthanc=orthanc).job
        assert manifest_of(new).labels == labels

    def test_the_series_are_looked_at_anew(
        self, bucket: Bucket, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        old = submit(orthanc)
        fail(agent)
        orthanc.known[series_id(1)] = series_info(1, instances=13)
        new = jobs.retry(old.pk, orthanc=orthanc).job
        assert [item["expected_instances"] for item in new.series] == [12, 13, 12, 12]

    def test_series_that_are_gone_make_no_job(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        old = submit(orthanc)
        fail(agent)
        del orthanc.known[series_id(1)]
        with pytest.raises(SubmissionRefusedError):
            jobs.retry(old.pk, orthanc=orthanc)
        assert Job.objects.count() == 1

    @pytest.mark.parametrize("force", [False, True])
    def test_an_open_job_is_not_doubled(
        self, bucket: Bucket, orthanc: FakeOrthanc, force: bool
    ) -> None:
        old = submit(orthanc)
        with pytest.raises(JobStateError) as caught:
            jobs.retry(old.pk, orthanc=orthanc, force=force)
        assert caught.value.code == "job-open"
        assert f"labseg cancel {old.pk}" in caught.value.remedy
        assert waiting(bucket) == [old.pk]

    def test_twice_is_once_while_the_first_is_open(
        self, bucket: Bucket, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        old = submit(orthanc)
        fail(agent)
        first = jobs.retry(old.pk, orthanc=orthanc)
        second = jobs.retry(old.pk, orthanc=orthanc)
        assert (second.job, second.is_new) == (first.job, False)
        fail(agent)
        jobs.sync_all()
        third = jobs.retry(old.pk, orthanc=orthanc)
        assert third.is_new
        assert waiting(bucket) == [third.job.pk]

    def test_a_second_one_at_the_same_moment_makes_no_second_job(
        self, orthanc: FakeOrthanc, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = submit(orthanc)
        fail(agent)
        jobs.sync_all()
        meet, found = threading.Barrier(2, timeout=30), []
        real = submission._new_job

        def together(*arguments: Any, **options: Any) -> Job:
            job = real(*arguments, **options)
            meet.wait()
            return job

        def again() -> None:
            try:
                found.append(jobs.retry(old.pk, orthanc=orthanc))
            finally:
                connection.close()

        monkeypatch.setattr(submission, "_new_job", together)
        threads = [threading.Thread(target=again) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert sorted(item.is_new for item in found) == [False, True]
        assert len({item.job.pk for item in found}) == 1
        assert Job.objects.count() == 2

    def test_success_is_repeated_only_by_force(
        self, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        old = submit(orthanc)
        agent.finish(agent.claim()[0])
        with pytest.raises(JobStateError) as caught:
            jobs.retry(old.pk, orthanc=orthanc)
        assert caught.value.code == "job-succeeded"
        assert jobs.retry(old.pk, orthanc=orthanc, force=True).is_new

    def test_so_is_a_retry_that_succeeded(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        old = submit(orthanc)
        fail(agent)
        new = jobs.retry(old.pk, orthanc=orthanc).job
        agent.finish(agent.claim()[0])
        jobs.sync_all()
        with pytest.raises(JobStateError, match=new.pk):
            jobs.retry(old.pk, orthanc=orthanc)
        assert jobs.retry(old.pk, orthanc=orthanc, force=True).is_new

    def test_an_unknown_job(self, orthanc: FakeOrthanc) -> None:
        with pytest.raises(JobNotFoundError):
            jobs.retry(UNKNOWN, orthanc=orthanc)

    def test_a_queue_that_is_away_stores_nothing(
        self, orthanc: FakeOrthanc, agent: FakeAgent, away: pytest.MonkeyPatch
    ) -> None:
        old = submit(orthanc)
        with pytest.raises(StoreUnavailableError):
            jobs.retry(old.pk, orthanc=orthanc)
        assert Job.objects.count() == 1


class TestAJobPutBackByTheLab:
    """``lab-agent requeue`` of a job that this site knows as rejected."""

    @pytest.fixture
    def job(self, bucket: Bucket, orthanc: FakeOrthanc, agent: FakeAgent) -> Job:
        job = submit(orthanc)
        reject(agent)
        jobs.sync_all()
        assert jobs.find(job.pk).state == State.REJECTED
        OperatorQueue(bucket, "lab-1", is_dead=lambda _: False).requeue(job.pk)
        return job

    @pytest.mark.parametrize("look", ["sync", "refresh"])
    def test_goes_on_without_its_old_reason(self, job: Job, agent: FakeAgent, look: str) -> None:
        if look == "sync":
            assert jobs.sync_all().changed == (job.pk,)
        job = jobs.refresh(jobs.find(job.pk))
        assert (job.state, job.attempt, job.failure_code) == (State.PENDING, 1, "")
        assert "Too new." in job.events.get(kind="attempt-ended").text
        agent.finish(agent.claim()[0])
        jobs.sync_all()
        job.refresh_from_db()
        assert (job.state, job.failure_reason) == (State.SUCCEEDED, "")
        assert kinds(job) == [
            "submitting",
            "pending",
            "rejected",
            "attempt-ended",
            "pending",
            "succeeded",
        ]

    def test_a_rejected_manifest_that_was_tidied_away_changes_nothing(
        self, bucket: Bucket, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submit(orthanc)
        reject(agent)
        job = jobs.refresh(job)
        for info in bucket.list(names.REJECTED):
            bucket.delete(info.name, generation=info.generation)
        job = jobs.refresh(jobs.find(job.pk))
        assert (job.state, job.missing_since) == (State.REJECTED, None)


class TestCommand:
    """``labseg cancel`` and ``labseg retry``."""

    def test_cancel(self, orthanc: FakeOrthanc) -> None:
        job = submit(orthanc)
        assert run("cancel", job.pk) == f"{job.pk} cancelled\n"
        document = json.loads(run("cancel", job.pk, "--json"))
        assert (document["state"], document["finished"]) == ("cancelled", True)
        assert document["cancel_requested_at"]

    def test_cancel_tells_what_stands(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        job = submit(orthanc)
        agent.finish(agent.claim()[0])
        error = refused("cancel", job.pk)
        assert error.returncode == 1
        assert "Tumor 1.50 ml" in str(error)

    def test_cancel_while_the_queue_is_away(
        self, orthanc: FakeOrthanc, away: pytest.MonkeyPatch
    ) -> None:
        job = submit(orthanc)
        error = refused("cancel", job.pk)
        assert error.returncode == 75
        assert "will be cancelled" in str(error)
        assert "to be cancelled" in run("list")

    @pytest.mark.parametrize("verb", ["cancel", "retry"])
    def test_an_unknown_job(self, orthanc: FakeOrthanc, verb: str) -> None:
        assert refused(verb, UNKNOWN).returncode == 2

    def test_retry(self, orthanc: FakeOrthanc, agent: FakeAgent) -> None:
        old = submit(orthanc)
        assert refused("retry", old.pk).returncode == 1
        fail(agent)
        new = run("retry", old.pk).strip()
        said = StringIO()
        assert run("retry", old.pk, stderr=said).strip() == new
        assert "already" in said.getvalue()
        document = json.loads(run("retry", old.pk, "--json"))
        assert (document["job_id"], document["retry_of"]) == (new, old.pk)
        assert f"tried again as  {new} (pending)" in run("show", old.pk)
        assert old.pk in run("show", new)

    def test_retry_of_a_success(self, orthanc: FakeOrthanc, bucket: Bucket) -> None:
        job = submit(orthanc)
        bucket.create(names.result_object(job.pk), succeeded(job.pk).to_json())
        assert "--force" in str(refused("retry", job.pk))
        assert run("retry", job.pk, "--force").strip() != job.pk
