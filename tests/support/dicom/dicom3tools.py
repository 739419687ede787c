"""David Clunie's validators, from the distribution's package, installed or unpacked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from infra.packages.debian import debian_programs

LIMIT = 60.0
"""Seconds; a check takes a fraction of one."""


def dciodvfy(path: Path) -> subprocess.CompletedProcess[str]:
    """Check one object against its IOD."""
    return _run(debian_programs().dciodvfy, str(path))


def dcentvfy(paths: Iterable[Path], listing: Path) -> subprocess.CompletedProcess[str]:
    """Check that objects agree on patient, study and series; ``listing`` is written."""
    listing.write_text("".join(f"{path}\n" for path in paths))
    return _run(debian_programs().dcentvfy, "-f", str(listing))


def _run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        env={**os.environ, **debian_programs().environment},
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=LIMIT,
        check=False,
    )
