"""Programs from the distribution's packages, without installing them.

Orthanc, its DICOMweb plugin and dicom3tools are unpacked under ``.cache/debian/``: no root, no
service that starts by itself, nothing left on the machine. Programs that are installed already
are used as they are. Only the standard library is needed, so it runs before the venv is full.
nginx is fetched when somebody first asks for it.

    python -m infra.debian        fetch what is missing, except nginx; print where it is
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.errors import FixConfigurationError

Group = Mapping[str, str]
"""Path below the root of the file system -> package that brings it; fetched together."""

IMAGING: Group = {
    "usr/sbin/Orthanc": "orthanc",
    "usr/share/orthanc/plugins/libOrthancDicomWeb.so": "orthanc-dicomweb",
    "usr/bin/dciodvfy": "dicom3tools",
    "usr/bin/dcentvfy": "dicom3tools",
}
NGINX: Group = {"usr/sbin/nginx": "nginx"}

_SUPPORT_PACKAGE = re.compile(r"lib.*|.*-(data|common|core)")
"""Dependencies worth unpacking: libraries, data, and what a program's package is but a name for;
not further programs and services."""

_COMMAND_LIMIT_S = 300


@dataclass(frozen=True)
class DebianPrograms:
    """Where the programs are and what their processes need in the environment."""

    orthanc: Path
    dicomweb_plugin: Path
    dciodvfy: Path
    dcentvfy: Path
    environment: dict[str, str]
    """``LD_LIBRARY_PATH`` and ``DCMDICTPATH``; empty where all is installed."""


def repository_root() -> Path:
    """The folder that holds ``pyproject.toml`` and ``.cache``."""
    return Path(__file__).resolve().parent.parent


@functools.cache
def debian_programs() -> DebianPrograms:
    """Find the programs, fetching the packages of those that are missing.

    Raises
    ------
    FixConfigurationError
        No apt here, the packages cannot be had, or a library is missing after unpacking.
    """
    (orthanc, plugin, dciodvfy, dcentvfy), environment = _find(IMAGING)
    return DebianPrograms(orthanc, plugin, dciodvfy, dcentvfy, environment)


@functools.cache
def nginx_program() -> tuple[Path, dict[str, str]]:
    """Find nginx, fetching it where it is missing: its path, and the environment that it needs.

    Raises
    ------
    FixConfigurationError
        As :func:`debian_programs`.
    """
    (program,), environment = _find(NGINX)
    return program, environment


def _find(group: Group) -> tuple[list[Path], dict[str, str]]:
    """The programs of ``group`` in its order, and what their processes need."""
    missing = {package for path, package in group.items() if not (Path("/") / path).exists()}
    folder = _ensure_unpacked(sorted(missing)) if missing else None
    roots = [Path("/")] if folder is None else [Path("/"), folder]
    programs = [_first_existing(roots, path, package) for path, package in group.items()]
    environment = {} if folder is None else _environment(folder)
    _check_libraries(programs, environment, sorted(set(group.values())))
    return programs, environment


def _first_existing(roots: Sequence[Path], relative: str, package: str) -> Path:
    for root in roots:
        if (root / relative).exists():
            return root / relative
    raise FixConfigurationError(
        f"The package {package} does not bring /{relative}.",
        code="program-missing",
        remedy=f"Install the package {package} of your distribution.",
    )


def _ensure_unpacked(packages: Sequence[str]) -> Path:
    """Unpack ``packages`` and what they need once; return the folder."""
    base = repository_root() / ".cache" / "debian"
    base.mkdir(parents=True, exist_ok=True)
    folder = base / "-".join([*_release(), platform.machine(), *packages])
    with _lock(base / "lock"):
        if not (folder / "packages.json").exists():
            _unpack(packages, folder, base)
    return folder


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold ``path`` exclusively: two test runs must not unpack at once."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _release() -> tuple[str, str]:
    """``("debian", "12")`` and the like: a cache must not survive a release upgrade."""
    release = platform.freedesktop_os_release()
    return release.get("ID", "linux"), release.get("VERSION_ID", "rolling")


def _unpack(packages: Sequence[str], folder: Path, base: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise FixConfigurationError(
            f"This machine has no apt, so {', '.join(packages)} cannot be fetched.",
            code="apt-missing",
            remedy="Run on Debian or Ubuntu, or install by hand: Orthanc, its DICOMweb plugin "
            "and dicom3tools; for some tests nginx.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=base, prefix="unpack-") as work:
        archives, tree = Path(work, "archives"), Path(work, "tree")
        archives.mkdir()
        names = _download(packages, archives, base)
        for archive in sorted(archives.glob("*.deb")):
            _command(["dpkg", "-x", str(archive), str(tree)])
        (tree / "packages.json").write_text(json.dumps(names, indent=1))
        tree.rename(folder)


def _download(packages: Sequence[str], archives: Path, base: Path) -> list[str]:
    """Fetch the archives with the machine's package lists, else with fresh private ones."""
    try:
        return _download_with([], packages, archives)
    except FixConfigurationError:
        options = _private_lists(base / "apt")
        _command(["apt-get", *options, "update"])
        return _download_with(options, packages, archives)


def _download_with(options: Sequence[str], packages: Sequence[str], archives: Path) -> list[str]:
    """Let apt itself say what an installation would add; fetch that. Returns the names."""
    plan = _command(
        ["apt-get", *options, "install", "--simulate", "--no-install-recommends", *packages]
    )
    names = wanted_packages(plan, packages)
    if missing := sorted(set(packages) - set(names)):
        raise FixConfigurationError(
            f"apt offers no package {', '.join(missing)}.",
            code="package-missing",
            remedy="Enable the distribution's main (Ubuntu: universe) section.",
        )
    # apt's download user may not write into a private folder, so it is not used here.
    user = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    _command(["apt-get", *options, *user, "download", *names], folder=archives)
    return names


def wanted_packages(plan: str, roots: Sequence[str]) -> list[str]:
    """Names to unpack out of the output of ``apt-get install --simulate``.

    >>> wanted_packages("Inst libx1 (1 d)\\nInst adduser (3 d)\\nInst app (2 d)", ["app"])
    ['libx1', 'app']
    """
    names = re.findall(r"^Inst (\S+)", plan, flags=re.MULTILINE)
    return [name for name in names if name in roots or _SUPPORT_PACKAGE.fullmatch(name)]


def _private_lists(folder: Path) -> list[str]:
    """apt options for package lists of our own, which need no root."""
    lists, archives = folder / "lists", folder / "archives"
    for path in (lists / "partial", archives / "partial"):
        path.mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State::lists": str(lists),
        "Dir::Cache::archives": str(archives),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
    }
    if os.geteuid() == 0:
        options["APT::Sandbox::User"] = "root"
    return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def _environment(folder: Path) -> dict[str, str]:
    libraries = sorted({str(path.parent) for path in folder.glob("**/*.so.*")})
    environment = {"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {}
    pattern = "usr/share/*dcmtk*/dicom.dic"
    dictionaries = [*folder.glob(pattern), *Path("/").glob(pattern)]
    if dictionaries:
        # dcmtk looks for its dictionary at a compiled-in path, which is not ours.
        environment["DCMDICTPATH"] = str(dictionaries[0])
    return environment


def _check_libraries(
    files: Sequence[Path], environment: dict[str, str], packages: Sequence[str]
) -> None:
    listing = _command(["ldd", *map(str, files)], environment=environment)
    if missing := missing_libraries(listing):
        raise FixConfigurationError(
            f"Libraries are missing: {', '.join(missing)}.",
            code="library-missing",
            remedy="Remove .cache/debian and try again, or install with your package manager: "
            f"{', '.join(packages)}.",
        )


def missing_libraries(listing: str) -> list[str]:
    """Shared objects that ``ldd`` could not resolve.

    >>> missing_libraries("\\tliba.so.1 => not found\\n\\tlibc.so.6 => /lib/libc.so.6 (0x0)")
    ['liba.so.1']
    """
    return sorted(set(re.findall(r"^\s*(\S+) => not found", listing, flags=re.MULTILINE)))


def _command(
    words: Sequence[str], *, folder: Path | None = None, environment: dict[str, str] | None = None
) -> str:
    """Run a command to its end and return what it printed."""
    result = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=_COMMAND_LIMIT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise FixConfigurationError(
            f"`{words[0]}` failed with exit code {result.returncode}: {lines[-1]}",
            code="command-failed",
            remedy="Check that the machine reaches its package mirror, then try again.",
        )
    return result.stdout


def main() -> int:
    """Fetch what is missing and say where everything is."""
    try:
        programs = debian_programs()
    except FixConfigurationError as error:
        print(f"{error.message} {error.remedy}", file=sys.stderr)
        return 78
    print(f"Orthanc at {programs.orthanc}, dciodvfy at {programs.dciodvfy}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
