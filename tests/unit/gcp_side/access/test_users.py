"""Users who are deleted, by whichever of the project's classes."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db.models.signals import pre_delete
from django.test.utils import isolate_apps

from gcp_side.labseg import jobs
from gcp_side.labseg.access.users import watch_users
from gcp_side.labseg.models import Job
from tests.unit.gcp_side.fakes import FOUR, FakeOrthanc, radiologist

pytestmark = pytest.mark.django_db


def job_of(user: User, orthanc: FakeOrthanc) -> Job:
    job = jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
    Job.objects.filter(pk=job.pk).update(requested_by=user)
    return job


def test_is_forgotten(orthanc: FakeOrthanc) -> None:
    user = radiologist()
    job = job_of(user, orthanc)
    user.delete()
    job.refresh_from_db()
    assert job.requested_by_id is None


def test_is_forgotten_when_deleted_by_a_proxy(
    orthanc: FakeOrthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    with isolate_apps("django.contrib.auth"):

        class Radiologist(User):
            class Meta:
                app_label = "auth"
                proxy = True

    models = [*apps.get_models(), Radiologist]
    monkeypatch.setattr(apps, "get_models", lambda **_: models)
    watch_users()
    try:
        user = radiologist()
        job = job_of(user, orthanc)
        Radiologist.objects.get(pk=user.pk).delete()
        job.refresh_from_db()
        assert job.requested_by_id is None
    finally:
        pre_delete.disconnect(
            sender=Radiologist, dispatch_uid=f"labseg-users-{Radiologist._meta.label}"
        )
