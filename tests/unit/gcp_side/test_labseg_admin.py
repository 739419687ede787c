"""The admin: jobs and their history to look at, retry and cancel as actions, nothing else."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from common.errors import OrthancUnavailableError, StoreUnavailableError
from gcp_side.labseg import services
from gcp_side.labseg.models import Job, State
from tests.unit.gcp_side.fakes import FOUR, FakeAgent, FakeOrthanc, radiologist

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/labseg/job/"


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def job(orthanc: FakeOrthanc) -> Job:
    return services.submit(services.Submission(series_ids=FOUR), orthanc=orthanc)


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
    asking = services.Submission(series_ids=FOUR, labels=("site-a",))
    job = services.submit(asking, orthanc=orthanc)
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
    other = services.submit(services.Submission(series_ids=FOUR), orthanc=orthanc)
    services.cancel(other.pk)
    first, second = act(admin, "retry_jobs", job, other)
    assert "has not ended" in first
    assert "is tried again" in second


def test_what_is_away_is_told(
    admin: Client, job: Job, orthanc: FakeOrthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.cancel(job.pk)

    def fail(_: object) -> None:
        raise OrthancUnavailableError("Orthanc did not answer.")

    def away(_: object) -> None:
        raise StoreUnavailableError("The bucket is away.")

    with monkeypatch.context() as patch:
        patch.setattr(orthanc, "series", fail)
        assert "Orthanc did not answer." in act(admin, "retry_jobs", job)[0]
    open_job = services.submit(services.Submission(series_ids=FOUR), orthanc=orthanc)
    with monkeypatch.context() as patch:
        patch.setattr(services, "scan", away)
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
