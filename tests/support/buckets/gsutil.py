"""The real gsutil, pointed at the strict fake.

The program is sought in GSUTIL, in .cache/gsutil and in PATH. It speaks https only, so the
fake must serve its own certificate.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from infra.demos.queue import find_gsutil
from infra.fake_gcs import FakeGcs

LIMIT_S = 120
"""Each call takes some seconds of Python imports."""


class Gsutil:
    """The program; every call is one process."""

    def __init__(self, fake: FakeGcs, folder: Path) -> None:
        self._program = needed_gsutil()
        self._options = [
            *("-o", "Credentials:gs_json_host=localhost"),
            *("-o", f"Credentials:gs_json_port={fake.tls_port}"),
            *("-o", f"Boto:ca_certificates_file={fake.certificate}"),
            *("-o", "Boto:num_retries=1"),
            *("-o", f"GSUtil:state_dir={folder}"),
            *("-o", "GSUtil:software_update_check_period=0"),
        ]
        self._environment = {**os.environ, "BOTO_CONFIG": os.devnull, "HOME": str(folder)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command, whatever its exit code."""
        return subprocess.run(
            [self._program, *self._options, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def output(self, *arguments: str) -> str:
        """What a command printed; it must succeed."""
        result = self.run(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout


def needed_gsutil() -> str:
    """The program; skips the test where it is missing."""
    program = os.environ.get("GSUTIL") or find_gsutil()
    if program is None:
        pytest.skip("gsutil is not here: set GSUTIL to the program, or run infra/setup")
    return program
