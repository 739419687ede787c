"""Fixtures with a real Orthanc. Import the ones you need into a ``conftest.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from infra.servers.orthanc import OrthancServer


@pytest.fixture(scope="module")
def orthanc() -> Iterator[OrthancServer]:
    """One Orthanc shared by the tests of a module: use study UIDs of your own in each."""
    with OrthancServer() as server:
        yield server


@pytest.fixture
def fresh_orthanc() -> Iterator[OrthancServer]:
    """An empty Orthanc for one test, which may stop and start it."""
    with OrthancServer() as server:
        yield server


@pytest.fixture
def start_orthanc() -> Iterator[Callable[..., OrthancServer]]:
    """Start further servers; takes the arguments of :class:`OrthancServer`."""
    with ExitStack() as stack:

        def start(*, http_compression: bool = False, http_threads: int = 50) -> OrthancServer:
            server = OrthancServer(http_compression=http_compression, http_threads=http_threads)
            return stack.enter_context(server)

        yield start
