"""Programs from the distribution's packages, without installing them.

Orthanc, its DICOMweb plugin and dicom3tools are unpacked under ``.cache/debian/``: no root, no
service that starts automatically, nothing left on the machine. Programs that are installed already
are used as they are. Only the standard library is needed, so it runs before the venv is full.
nginx and Redis are fetched when somebody first asks for them.

    python -m infra.packages.debian        fetch what is missing, except those; print where it is
"""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infra.packages.apt import command, unpack
from infra.packages.orthanc_versions import PLUGIN, PROGRAM, orthanc_of_version
from segrelay.errors import FixConfigurationError

ORTHANC_VARIABLE = "SEGRELAY_TEST_ORTHANC"
"""Environment: the version of Orthanc to start, e.g. ``1.12``; empty: the distribution's."""

Group = Mapping[str, str]
"""Path below the root of the file system -> package that brings it; fetched together."""

IMAGING: Group = {
    PROGRAM: "orthanc",
    PLUGIN: "orthanc-dicomweb",
    "usr/bin/dciodvfy": "dicom3tools",
    "usr/bin/dcentvfy": "dicom3tools",
}
NGINX: Group = {"usr/sbin/nginx": "nginx"}
REDIS: Group = {"usr/bin/redis-server": "redis-server", "usr/bin/redis-cli": "redis-tools"}
GDCM_PLUGIN: Group = {"usr/share/orthanc/plugins/libOrthancGdcm.so": "orthanc-gdcm"}
CODECS: Group = {
    "usr/bin/dcmconv": "dcmtk",
    "usr/bin/dcmcjpeg": "dcmtk",
    "usr/bin/dcmdjpeg": "dcmtk",
    "usr/bin/dcmcjpls": "dcmtk",
    "usr/bin/dcmdjpls": "dcmtk",
    "usr/bin/dcmcrle": "dcmtk",
    "usr/bin/gdcmconv": "libgdcm-tools",
    "usr/bin/ojph_compress": "openjph-tools",
    "usr/bin/ojph_expand": "openjph-tools",
}


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
    return Path(__file__).resolve().parents[2]


@functools.cache
def debian_programs() -> DebianPrograms:
    """Find the programs, fetching the packages of those that are missing.

    Raises
    ------
    FixConfigurationError
        No apt here, the packages cannot be had, or a library is missing after unpacking.
    """
    (orthanc, plugin, dciodvfy, dcentvfy), environment = _find(IMAGING)
    found = DebianPrograms(orthanc, plugin, dciodvfy, dcentvfy, environment)
    version = os.environ.get(ORTHANC_VARIABLE, "")
    if version:
        orthanc, plugin = orthanc_of_version(version, _cache())
        found = replace(found, orthanc=orthanc, dicomweb_plugin=plugin)
    return found


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


@functools.cache
def redis_programs() -> tuple[Path, Path, dict[str, str]]:
    """Find a Redis, fetching it where it is missing: server, redis-cli, and their environment.

    Raises
    ------
    FixConfigurationError
        As :func:`debian_programs`.
    """
    (server, console), environment = _find(REDIS)
    return server, console, environment


@functools.cache
def gdcm_plugin() -> tuple[Path, dict[str, str]]:
    """Find Orthanc's plugin GDCM, fetching it where it is missing: its path, and its environment.

    It fits the distribution's Orthanc alone.

    Raises
    ------
    FixConfigurationError
        As :func:`debian_programs`.
    """
    (plugin,), environment = _find(GDCM_PLUGIN)
    return plugin, environment


@functools.cache
def codec_programs() -> tuple[dict[str, Path], dict[str, str]]:
    """Find the programs that compress images, fetching them where they are missing.

    Returns
    -------
    Paths by name, of dcmtk, GDCM and OpenJPH, and the environment that they need.

    Raises
    ------
    FixConfigurationError
        As :func:`debian_programs`.
    """
    programs, environment = _find(CODECS)
    return {program.name: program for program in programs}, environment


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
    folder = _cache() / "-".join([*_release(), platform.machine(), *packages])
    unpack(packages, folder)
    return folder


def _cache() -> Path:
    return repository_root() / ".cache" / "debian"


def _release() -> tuple[str, str]:
    """``("debian", "12")`` and the like: a cache must not survive a release upgrade."""
    release = platform.freedesktop_os_release()
    return release.get("ID", "linux"), release.get("VERSION_ID", "rolling")


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
    listing = command(["ldd", *map(str, files)], environment=environment)
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
