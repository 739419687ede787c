"""A phantom study in a real Orthanc, the site on a free port, and Debian's Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import Client
from playwright.sync_api import Browser, Page, sync_playwright
from pydantic import SecretStr
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from common.orthanc import OrthancClient, OrthancSettings
from gcp_side.labseg.conf import get_bucket
from infra.orthanc import OrthancServer
from infra.phantom.case import make_case, scanner_grid
from infra.phantom.dicom import write_study
from tests.support.seg_study import BoolArray, make_seg
from tests.unit.gcp_side.fakes import FakeAgent

CHROMIUM = Path("/usr/bin/chromium")
SCREENS = Path(__file__).resolve().parents[2] / "build" / "screens"

# Playwright keeps an event loop in this thread; the database is used between its steps only.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@dataclass(frozen=True)
class Stored:
    """What lies in Orthanc."""

    study: str
    series: tuple[str, ...]
    seg: str
    """A SEG of the truth, which no request knows yet."""
    mask: BoolArray
    """[slices, rows, columns] in displayed order."""


@pytest.fixture(scope="session")
def orthanc() -> Iterator[OrthancServer]:
    with OrthancServer() as server:
        yield server


@pytest.fixture(scope="session")
def stored(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("phantom")
    case = make_case(
        4, grid=lambda anatomy: scanner_grid(anatomy, shape=(40, 96, 110), spacing=(1.5, 1.5, 3.0))
    )
    written = write_study(case, folder)
    client = OrthancClient(
        OrthancSettings(url=orthanc.url, user=orthanc.user, password=SecretStr(orthanc.password))
    )
    series = []
    for files in written.series:
        replies = [client.upload(path.read_bytes()) for path in files.paths]
        series.append(replies[0].orthanc_series_id)
    with np.load(written.truth) as archive:
        mask, order = (
            archive["mask"].astype(bool),
            [str(uid) for uid in archive["sop_instance_uids"]],
        )
    by_uid = {
        str(item.SOPInstanceUID): item for item in map(pydicom.dcmread, written.series[1].paths)
    }
    seg = folder / "seg.dcm"
    make_seg([by_uid[uid] for uid in order], mask).save_as(seg)
    seg_id = client.upload(seg.read_bytes()).orthanc_id
    study = client.series(series[0]).study_id
    client.close()
    return Stored(study, tuple(series), seg_id, mask)


@pytest.fixture
def agent(settings: Settings, tmp_path: Path, orthanc: OrthancServer) -> Iterator[FakeAgent]:
    """The lab's side of the site's new queue."""
    settings.SEGRELAY = settings.SEGRELAY | {
        "BUCKET": (tmp_path / "queue").as_uri(),
        "ORTHANC_URL": orthanc.url,
        "ORTHANC_USER": orthanc.user,
        "ORTHANC_PASSWORD": orthanc.password,
        "REFRESH_SECONDS": 0,
    }
    yield FakeAgent(get_bucket())
    for cache in caches.all():
        cache.clear()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(
    browser: Browser,
    # Before the server: it would share the settings' database in memory among its threads.
    django_db_setup: None,
    live_server: LiveServer,
    transactional_db: None,
    agent: FakeAgent,
) -> Iterator[Page]:
    """A page of a logged-in user; the log of the browser stays free of errors."""
    User.objects.create_superuser("radiologist", password="a-password")
    client = Client()
    client.login(username="radiologist", password="a-password")
    context = browser.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 800})
    context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    opened = context.new_page()
    said: list[str] = []
    opened.on(
        "console", lambda message: said.append(message.text) if message.type == "error" else None
    )
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    context.close()
    assert [line for line in said if "Failed to load resource" not in line] == []
