"""Programs that some tests and benches need beside what ``infra/setup`` brings.

    python3 -m infra.packages.programs chromium gettext …     get what is missing, or say how

Root on Debian or Ubuntu gets them from apt; others see the command. Only the standard library
is needed: it runs first, so that nobody waits for minutes to learn what is missing. Exit code 78
where something stays missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
"""Debian's; the browser that Playwright drives."""

HEADLESS_CHROMIUM = Path("/usr/bin/chromium-headless-shell")
"""The same engine without a window around the page, in less processor time."""

SIGNS = {
    "chromium": str(CHROMIUM),
    "chromium-headless-shell": str(HEADLESS_CHROMIUM),
    "fonts-nanum": "/usr/share/fonts/truetype/nanum",
    "gettext": "xgettext",
    "npm": "npm",
}
"""Package -> its program, or a path that is there where it is installed."""

_STDERR = 2

_APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")


def missing(packages: Sequence[str]) -> list[str]:
    """Those of ``packages``, out of :data:`SIGNS`, that are not here."""
    return [package for package in packages if not _is_here(SIGNS[package])]


def _is_here(sign: str) -> bool:
    return Path(sign).exists() if sign.startswith("/") else shutil.which(sign) is not None


def get(packages: Sequence[str]) -> list[str]:
    """Install what is missing where that is possible; returns what is still missing."""
    lacking = missing(packages)
    if not lacking or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return lacking
    _say(f"installing {' '.join(lacking)} with apt")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *lacking]):
        subprocess.run([*_APT, *words], env=environment, stdout=_STDERR, check=False)
    return missing(lacking)


def main(packages: Sequence[str]) -> int:
    """Get them; say what stays missing, and the command that installs it."""
    unknown = sorted(set(packages) - set(SIGNS))
    if unknown:
        _say(f"not known here: {' '.join(unknown)}; there are: {' '.join(SIGNS)}")
        return 2
    lacking = get(packages)
    if lacking:
        names = " ".join(lacking)
        _say(f"missing here: {names}. Run: sudo apt-get update && sudo apt-get install {names}")
        return 78
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
