"""The venvs of the peers, which ``infra/bench whole`` makes."""

from __future__ import annotations

import os
from pathlib import Path

from infra.packages.debian import repository_root
from segrelay.errors import FixConfigurationError

MOSEC = Path(".cache/bench-mosec")
MONAILABEL = Path(".cache/bench-monailabel")
"""Below the repository."""

OWN_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
"""Variables that set how many cores a system uses."""


def program(venv: Path, name: str = "python") -> str:
    """A program of a venv.

    Raises
    ------
    FixConfigurationError
        ``bench-tools-missing``.
    """
    path = repository_root() / venv / "bin" / name
    if not path.exists():
        raise FixConfigurationError(
            f"The other systems are not installed ({venv.name}).",
            code="bench-tools-missing",
            remedy="Start the benchmark with infra/bench, which installs them.",
        )
    return str(path)


def import_path() -> dict[str, str]:
    """The variable by which a program of another venv finds this repository's modules."""
    root = repository_root()
    return {"PYTHONPATH": os.pathsep.join((str(root), str(root / "common")))}
