"""Real processes: Orthanc, the agent, its worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.orthanc import OrthancServer
from tests.support.lab import Lab, open_lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab of its own for each test: most of them break something."""
    with OrthancServer() as orthanc, open_lab(orthanc, tmp_path) as lab:
        yield lab
