"""What is different on Windows, shown under wine; skipped, with the reason, where that is not."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.lab.windows import Windows, open_windows

# Run by the tests here, with the Python of Windows.
collect_ignore = ["native", "start"] if os.name != "nt" else []


@pytest.fixture(scope="session")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Windows]:
    """One Windows for all tests."""
    with open_windows(tmp_path_factory.mktemp("windows")) as made:
        yield made
