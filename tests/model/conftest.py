"""Every store that the model knows, and a folder in memory where there is one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pytest_django import Settings

from infra.servers.redis import RedisServer
from tests.support.simulator.redis_store import RedisStore
from tests.support.simulator.site_store import SiteServer
from tests.support.simulator.stores import MakeStore, in_cloud, in_directory

MEMORY = Path("/dev/shm")


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder: histories flush thousands of files to the disk."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="segrelay-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """It forgets: a history ends before the server does."""
    with RedisServer({"appendonly": "no"}) as server:
        yield server


@pytest.fixture
def site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SiteServer]:
    """A site whose limit of requests no history reaches."""
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "database:", "QUEUE_RATE": "1000000/s"}
    server = SiteServer(monkeypatch)
    yield server
    server.close()


@pytest.fixture
def make_store(request: pytest.FixtureRequest, store: str) -> MakeStore:
    """Makes the store of each history; ``store`` is a parameter of the test."""
    if store == "redis":
        return partial(RedisStore, request.getfixturevalue("redis"))
    if store == "site":
        site: SiteServer = request.getfixturevalue("site")
        return site.make
    return {"directory": in_directory, "cloud": in_cloud}[store]
