"""The admin: jobs and their history to look at, retry and cancel as actions, nothing else."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from gcp_side.labseg import jobs
from gcp_side.labseg.jobs import sync
from gcp_side.labseg.models import Job, JobEvent, State
from segrelay.bucket import Bucket
from segrelay.errors import OrthancUnavailableError, StoreUnavailableError
from segrelay.manifest import ResultStatus
from segrelay.queue.records import publish_result
from segrelay.result_notes import NOT_FOR_PATIENTS, TRAINED_ON_SYNTHETIC
from tests.unit.gcp_side.fakes import FOUR, STUDY_ID, FakeAgent, FakeOrthanc, ended, radiologist

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/labseg/job/"


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def job(orthanc: FakeOrthanc) -> Job:
    return jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)


def act(client: Client, action: str, *jobs: Job) -> list[str]:
    """Run an action; returns what the user is told."""
    body = {"action": action, "_selected_action": [job.pk for job in jobs]}
    answer = client.post(LIST, body, follow=True)
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


def test_shows_jobs_and_their_history(admin: Client, job: Job) -> None:
    assert job.pk in admin.get(LIST).content.decode()
    page = admin.get(f"{LIST}{job.pk}/change/").content.decode()
    assert "put into the queue" in page


def test_shows_the_labels_that_a_job_asks_for(admin: Client, orthanc: FakeOrthanc) -> None:
    asking = jobs.Submission(series_ids=FOUR, labels=("site-a",))
    job = jobs.submit(asking, orthanc=orthanc)
    assert "site-a" in admin.get(LIST).content.decode()
    assert "site-a" in admin.get(f"{LIST}{job.pk}/change/").content.decode()


def test_changes_nothing(admin: Client, job: Job) -> None:
    assert admin.post(f"{LIST}{job.pk}/change/", {"state": "succeeded"}).status_code == 403
    assert admin.post(f"{LIST}{job.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin.get(f"{LIST}add/").status_code == 403
    assert "delete_selected" not in admin.get(LIST).content.decode()
    job.refresh_from_db()
    assert job.state == State.PENDING


def test_cancel_and_retry(admin: Client, job: Job, agent: FakeAgent) -> None:
    assert act(admin, "cancel_jobs", job) == [f"Job {job.pk} is cancelled."]
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    (told,) = act(admin, "retry_jobs", job)
    again = Job.objects.get(retry_of=job)
    assert told == f"Job {job.pk} is tried again as {again.pk}."
    assert again.requested_by is not None
    assert act(admin, "retry_jobs", job) == [
        f"Job {job.pk} is being tried again already as {again.pk}."
    ]
    agent.finish(agent.claim()[0])
    assert act(admin, "cancel_jobs", again) == [
        f"Job {again.pk} had ended before: done: the SEG is in Orthanc."
    ]


def test_what_refuses_one_stops_no_other(admin: Client, job: Job, orthanc: FakeOrthanc) -> None:
    other = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
    jobs.cancel(other.pk)
    first, second = act(admin, "retry_jobs", job, other)
    assert "has not ended" in first
    assert "is tried again" in second


def test_what_is_away_is_told(
    admin: Client, job: Job, orthanc: FakeOrthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.cancel(job.pk)

    def fail(_: object) -> None:
        raise OrthancUnavailableError("Orthanc did not answer.")

    def away(_: object) -> None:
        raise StoreUnavailableError("The bucket is away.")

    with monkeypatch.context() as patch:
        patch.setattr(orthanc, "series", fail)
        assert "Orthanc did not answer." in act(admin, "retry_jobs", job)[0]
    open_job = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
    with monkeypatch.context() as patch:
        patch.setattr(sync, "scan", away)
        assert "The bucket is away." in act(admin, "cancel_jobs", open_job)[0]


def test_who_may_only_look_has_no_actions(job: Job) -> None:
    user = radiologist("view_job")
    user.is_staff = True
    user.save()
    client = Client()
    client.force_login(user)
    page = client.get(LIST).content.decode()
    assert job.pk in page
    assert "cancel_jobs" not in page
    client.post(LIST, {"action": "cancel_jobs", "_selected_action": [job.pk]})
    job.refresh_from_db()
    assert job.state == State.PENDING


def test_speaks_korean(admin: Client, job: Job) -> None:
    korean = {"Accept-Language": "ko"}
    listed = admin.get(LIST, headers=korean).content.decode()
    for name in ("프로파일", "레이블", "상태", "단계 진행률", "종양 발견", "요청한 시각"):
        assert name in listed
    page = admin.get(f"{LIST}{job.pk}/change/", headers=korean).content.decode()
    for name in ("이력", "오류 코드", "시각", "버킷에서 보이지 않기 시작한 시각"):
        assert name in page


def only_looking() -> Client:
    """Staff with the one permission to look."""
    user = radiologist("view_job", name="looker")
    user.is_staff = True
    user.save()
    client = Client()
    client.force_login(user)
    return client


class TestReadable:
    """A job's page in words."""

    @pytest.fixture
    def done(self, job: Job, agent: FakeAgent) -> Job:
        agent.finish(agent.claim()[0])
        jobs.sync_all()
        job.refresh_from_db()
        job.warnings = [NOT_FOR_PATIENTS, "<script>alert(1)</script>"]
        job.confirmed = [{"code": "role-unsure", "parameters": {"role": "dce-1"}}]
        job.confirmed_by = "radiologist"
        job.save()
        return job

    def page(self, client: Client, job: Job, language: str = "en") -> str:
        answer = client.get(
            f"{LIST}{job.pk}/change/", headers={"accept-language": language}, follow=True
        )
        assert answer.status_code == 200
        return answer.content.decode()

    def test_what_the_network_learnt_from_is_above_the_volumes(self, done: Job) -> None:
        done.warnings = [TRAINED_ON_SYNTHETIC]
        done.save()
        assert "<strong>TRAINED ON SYNTHETIC IMAGES ONLY</strong>" in self.page(
            only_looking(), done
        )

    def test_result_links_and_sections(self, done: Job, settings: Settings) -> None:
        settings.SEGRELAY = settings.SEGRELAY | {"OHIF_URL": "https://ohif.example/viewer?x=1"}
        page = self.page(only_looking(), done)
        for text in (
            "<td>Tumor</td><td>1.5 ml</td><td>14.2 mm</td>",
            "NOT FOR PATIENTS",
            f'href="/segmentation/studies/{STUDY_ID}/"',
            f"/app/explorer.html#study?uuid={STUDY_ID}",
            "https://ohif.example/viewer?x=1&amp;StudyInstanceUIDs=1.2",
            "initialSeriesInstanceUID=1.2.3.9",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
            "SHA-256 of the weights: 1111",
            "infer 0.5",
            "put into the queue",
        ):
            assert text in page, text
        for raw in ("volume_ml", "stage_seconds", "<script>alert", "What went wrong"):
            assert raw not in page, raw
        assert '<input type="submit"' not in page.partition("<h1>")[2].partition("footer")[0]

    def test_a_failure_in_the_readers_language(
        self, job: Job, bucket: Bucket, admin: Client
    ) -> None:
        publish_result(bucket, ended(job.pk, ResultStatus.FAILED))
        jobs.sync_all()
        assert "A slice is missing." in self.page(admin, job)
        page = self.page(admin, job, "ko")
        assert "시리즈에 빠진 슬라이스가 있습니다." in page
        assert '<span lang="en">A slice is missing. Send it.</span>' in page

    def test_nothing_of_it_is_in_english_on_a_korean_page(self, done: Job, admin: Client) -> None:
        page = self.page(admin, done, "ko")
        for text in ("검사 페이지", "결과", "최장 직경", "진행", "환자"):
            assert text in page, text
        for text in ("Result<", "Progress<", "Times<", "Open the", "Longest", "(succeeded)"):
            assert text not in page, text

    def test_a_job_of_every_kind_of_row(self, admin: Client, job: Job) -> None:
        """Columns that older versions or a wrong hand have written."""
        job.measurements = [{"label": "<b>"}, {"number": 1, "volume_ml": "x"}]
        job.provenance = {"stage_seconds": {}, "versions": None}
        job.orthanc_study_id = "../../x"
        job.save()
        page = self.page(admin, job)
        assert "&lt;b&gt;" in page
        assert "explorer.html#study" not in page
        assert admin.get(LIST).status_code == 200

    def test_without_pages_or_settings_it_shows_rows(
        self, admin: Client, job: Job, settings: Settings
    ) -> None:
        settings.ROOT_URLCONF = "tests.unit.gcp_side.login_urls"
        settings.SEGRELAY = {}
        assert job.pk in self.page(admin, job)
        assert admin.get(LIST).status_code == 200

    @pytest.mark.parametrize("query", ["q=x", "q=%00", "state__exact=nonsense", "e=1", "p=99"])
    def test_searching_and_filtering(self, admin: Client, job: Job, query: str) -> None:
        assert admin.get(f"{LIST}?{query}", follow=True).status_code == 200
        found = admin.get(f"{LIST}?q={job.pk[:12]}").content.decode()
        assert f"{job.pk}/change/" in found

    def test_the_number_of_queries_does_not_grow(
        self, admin: Client, done: Job, orthanc: FakeOrthanc
    ) -> None:
        def queries(address: str) -> int:
            with CaptureQueriesContext(connection) as captured:
                assert admin.get(address).status_code == 200
            return len(captured)

        # The first pages fill Django's cache of content types.
        queries(LIST), queries(f"{LIST}{done.pk}/change/")
        few = queries(LIST), queries(f"{LIST}{done.pk}/change/")
        for _ in range(5):
            jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
        Job.objects.exclude(pk=done.pk).update(retry_of=done)
        for attempt in range(8):
            JobEvent.objects.create(
                job=done, kind="attempt-ended", attempt=10 + attempt, at=done.submitted_at
            )
        assert (queries(LIST), queries(f"{LIST}{done.pk}/change/")) == few

    def test_whoever_may_not_look_sees_nothing(self, done: Job) -> None:
        user = radiologist("add_job", name="other")
        user.is_staff = True
        user.save()
        client = Client()
        client.force_login(user)
        assert client.get(LIST).status_code == 403
        assert client.get(f"{LIST}{done.pk}/change/").status_code == 403
