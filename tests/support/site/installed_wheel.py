"""The project's wheel, installed into an environment of its own, as a host project has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "common", "lab_side", "gcp_side")


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and with this one's libraries behind it."""

    python: Path
    top_level: set[str]
    """What the wheel can be imported as."""


def install_wheel(folder: Path) -> Installed:
    """Build the wheel and install it; nothing is downloaded."""
    source = folder / "source"
    source.mkdir()
    for name in _SOURCES:
        path = ROOT / name
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            shutil.copy(path, source)
    _pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    site = folder / "installed"
    _pip("install", "--target", str(site), str(wheel))
    packages = {path.parent.name for path in site.glob("*/__init__.py")}
    return Installed(_environment(folder / "environment", site), packages)


def _environment(folder: Path, site: Path) -> Path:
    """Make a Python that sees the wheel first, then the libraries that this one has.

    A ``.pth`` file there is not read again in the folders that it names: the finder of an
    editable installation stays out.
    """
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = folder / "lib" / version / "site-packages"
    (own / "installed.pth").write_text(f"{site}\n{sysconfig.get_path('purelib')}\n")
    return python


def _pip(command: str, *words: str) -> None:
    offline = ["--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", command, *offline, *words],
        check=True,
        stdin=subprocess.DEVNULL,
    )
