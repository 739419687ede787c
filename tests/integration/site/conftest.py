"""A real site that keeps its queue in its own database."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer


@pytest.fixture
def address(
    # Before the server: it would share the settings' database in memory among its threads.
    django_db_setup: None,
    live_server: LiveServer,
    transactional_db: None,
    settings: Settings,
) -> Iterator[str]:
    """Where agents reach the queue."""
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "database:"}
    yield f"{live_server.url}/api/mri/segmentation/queue"
    for thread in threading.enumerate():
        # It looks into the database, which the next test does not have yet.
        if thread.name == "labseg-waiting":
            thread.join()
