"""Fixtures: a queue in a temporary directory, and an Orthanc with four series."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import caches
from django.utils.translation import deactivate
from pytest_django import Settings
from rest_framework.test import APIClient

from gcp_side.labseg.api import studies
from gcp_side.labseg.orthanc import client as orthanc_module
from gcp_side.labseg.orthanc.studies import Catalogue
from gcp_side.labseg.queue.access import get_bucket
from segrelay.bucket import Bucket
from tests.unit.gcp_side.fakes import FakeAgent, FakeOrthanc, four_series, radiologist


@pytest.fixture(autouse=True)
def empty_caches() -> Iterator[None]:
    """No test sees what another one cached."""
    yield
    for cache in caches.all():
        cache.clear()


@pytest.fixture(autouse=True)
def no_language() -> Iterator[None]:
    """No test goes on in the language of another one's last request."""
    yield
    deactivate()


@pytest.fixture
def bucket(settings: Settings, tmp_path: Path) -> Bucket:
    """The site's queue, empty."""
    settings.SEGRELAY = settings.SEGRELAY | {
        "BUCKET": (tmp_path / "queue").as_uri(),
        "REFRESH_SECONDS": 0,
        "PUBLISH_GRACE_SECONDS": 0,
    }
    return get_bucket()


@pytest.fixture
def agent(bucket: Bucket) -> FakeAgent:
    """An agent on the same queue."""
    return FakeAgent(bucket)


@pytest.fixture
def orthanc(monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> FakeOrthanc:
    """The site's Orthanc, beside its queue."""
    fake = four_series()
    monkeypatch.setattr(orthanc_module, "connect", lambda: fake)
    monkeypatch.setattr(studies, "_catalogue", Catalogue())
    return fake


@pytest.fixture
def client() -> APIClient:
    """A radiologist, logged in."""
    client = APIClient()
    client.force_authenticate(radiologist())
    return client
