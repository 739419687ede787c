"""Real processes: Orthanc, the agent, its worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.servers.orthanc import OrthancServer
from tests.support.lab.fast_lab import FastLab, open_fast_lab
from tests.support.lab.lab import Lab, open_lab
from tests.support.servers.orthanc import orthanc as orthanc


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab of its own for each test: most of them break something."""
    with OrthancServer() as orthanc, open_lab(orthanc, tmp_path) as lab:
        yield lab


@pytest.fixture(params=("directory", "gcs"))
def fast_lab(
    request: pytest.FixtureRequest, orthanc: OrthancServer, tmp_path: Path
) -> Iterator[FastLab]:
    """The same with a worker without a network, over each kind of queue."""
    with open_fast_lab(orthanc, tmp_path, request.param) as lab:
        yield lab
