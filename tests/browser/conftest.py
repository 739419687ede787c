"""Phantom studies in a real Orthanc, the site on a free port, and Debian's Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import Client
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from gcp_side.labseg.queue.access import get_bucket
from infra.one_series.rewrite import Kind
from infra.packages.programs import CHROMIUM, HEADLESS_CHROMIUM
from infra.servers.orthanc import OrthancServer
from tests.browser.studies import (
    Stored,
    store_axial,
    store_brain,
    store_many_phases,
    store_one_series,
    store_turned,
    store_unsure,
)
from tests.unit.gcp_side.fakes import FakeAgent

TIME_ZONE = "Asia/Seoul"
HANG_MS = 60_000
"""Everything happens within a second or two, and later on a loaded machine."""

LOAD_FAILED = "Failed to load resource"

TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  tellViolation(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile ?? ""}`));
"""

expect.set_options(timeout=HANG_MS)

# Playwright keeps an event loop in this thread; the database is used between its steps only.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(scope="session")
def orthanc() -> Iterator[OrthancServer]:
    with OrthancServer() as server:
        yield server


@pytest.fixture(scope="session")
def stored(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A study of four axial phases."""
    return store_axial(orthanc, tmp_path_factory.mktemp("axial"))


@pytest.fixture(scope="session")
def turned(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A study of two sagittal and two oblique series."""
    return store_turned(orthanc, tmp_path_factory.mktemp("turned"))


@pytest.fixture(scope="session")
def brain(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A study whose attributes name another region than a breast."""
    return store_brain(orthanc, tmp_path_factory.mktemp("brain"))


@pytest.fixture(scope="session")
def dynamic(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A study of four phases in one series."""
    return store_one_series(orthanc, tmp_path_factory.mktemp("dynamic"), Kind.CLASSIC)


@pytest.fixture(scope="session")
def enhanced(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A study of four phases that are the frames of one instance."""
    return store_one_series(orthanc, tmp_path_factory.mktemp("enhanced"), Kind.ENHANCED)


@pytest.fixture(scope="session")
def many_phases(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A study of twelve phases in one series, of which no profile takes more than four."""
    return store_many_phases(orthanc, tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="session")
def unsure(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A study of four phases whose order nothing tells."""
    return store_unsure(orthanc, tmp_path_factory.mktemp("unsure"))


@pytest.fixture
def orthanc_url(orthanc: OrthancServer) -> str:
    """Where the site looks for Orthanc."""
    return orthanc.url


@pytest.fixture
def agent(
    settings: Settings, tmp_path: Path, orthanc: OrthancServer, orthanc_url: str
) -> Iterator[FakeAgent]:
    """The lab's side of the site's new queue."""
    settings.SEGRELAY = settings.SEGRELAY | {
        "BUCKET": (tmp_path / "queue").as_uri(),
        "ORTHANC_URL": orthanc_url,
        "ORTHANC_USER": orthanc.user,
        "ORTHANC_PASSWORD": orthanc.password,
        "REFRESH_SECONDS": 0,
    }
    yield FakeAgent(get_bucket(), "lab-gpu-1")
    for cache in caches.all():
        cache.clear()


# A graphics card in software takes more of the processor than all else; no page uses WebGL.
OPTIONS = ["--no-sandbox", "--disable-gpu"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next((path for path in (HEADLESS_CHROMIUM, CHROMIUM) if path.exists()), None)
    if program is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(program), args=OPTIONS)
        yield started
        started.close()


@dataclass
class Heard:
    """What the browser had to say."""

    violations: list[str] = field(default_factory=list)
    """Of the Content Security Policy."""
    console: list[str] = field(default_factory=list)
    """Errors and warnings."""
    expected: set[str] = field(default_factory=set)
    """Statuses of failed requests, e.g. ``503``, which belong to the test."""

    @property
    def unexpected(self) -> list[str]:
        """Lines of the console that no test expects."""
        return [
            line
            for line in self.console
            if not (
                line.startswith(LOAD_FAILED)
                and any(f"status of {code}" in line for code in self.expected)
            )
        ]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def page(
    browser: Browser,
    # Before the server: it would share the settings' database in memory among its threads.
    django_db_setup: None,
    live_server: LiveServer,
    transactional_db: None,
    agent: FakeAgent,
    heard: Heard,
) -> Iterator[Page]:
    """A page of a logged-in user; it breaks no rule of the CSP, and its console stays clean."""
    User.objects.create_superuser("radiologist", password="a-password")
    client = Client()
    client.login(username="radiologist", password="a-password")
    context = browser.new_context(
        base_url=live_server.url,
        viewport={"width": 1280, "height": 800},
        timezone_id=TIME_ZONE,
        locale="en-GB",
    )
    context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    context.expose_function("tellViolation", lambda line: heard.violations.append(line))
    context.add_init_script(TELL_VIOLATIONS)
    context.set_default_timeout(HANG_MS)
    opened = context.new_page()
    opened.on(
        "console",
        lambda line: heard.console.append(line.text) if line.type in ("error", "warning") else None,
    )
    opened.on("pageerror", lambda error: heard.console.append(str(error)))
    yield opened
    context.close()
    assert heard.violations == []
    assert heard.unexpected == []
