"""Google's own ``gcloud storage``, pointed at the strict fake.

The program is sought in PATH: no package registry for Python has it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.fake_gcs import FakeGcs

LIMIT_S = 120


class Gcloud:
    """The program, signed in as nobody; every call is one process."""

    def __init__(self, fake: FakeGcs, folder: Path) -> None:
        self._program = needed_gcloud()
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "CLOUDSDK_CONFIG": str(folder / "gcloud"),
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_PROJECT": "test",
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{fake.url}/storage/v1/",
        }

    def output(self, *arguments: str) -> str:
        """What ``gcloud storage …`` printed; it must succeed."""
        result = subprocess.run(
            [self._program, "storage", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout


def needed_gcloud() -> str:
    """The program; skips the test where it is missing."""
    program = shutil.which("gcloud")
    if program is None:
        pytest.skip("gcloud is not here: install the Google Cloud CLI and put it into PATH")
    return program
