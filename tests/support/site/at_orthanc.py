"""Fixture: the site's settings lead to the test's Orthanc and to an empty queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import caches
from pytest_django import Settings

from infra.servers.orthanc import OrthancServer


@pytest.fixture(autouse=True)
def site_at_orthanc(settings: Settings, tmp_path: Path, orthanc: OrthancServer) -> Iterator[None]:
    """Every test of a module that imports this finds no cached answer of another one."""
    settings.SEGRELAY = settings.SEGRELAY | {
        "BUCKET": (tmp_path / "queue").as_uri(),
        "ORTHANC_URL": orthanc.url,
        "ORTHANC_USER": orthanc.user,
        "ORTHANC_PASSWORD": orthanc.password,
    }
    yield
    for cache in caches.all():
        cache.clear()
