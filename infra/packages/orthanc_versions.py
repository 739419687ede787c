"""Orthanc of another Debian release than this machine's: ``infra/test --orthanc 1.12``.

Its packages are unpacked under ``.cache/debian/`` with every library that they need, and the
program is started by that release's own loader, so that nothing of this machine is used:

    ld-linux… --library-path FOLDER/… FOLDER/usr/sbin/Orthanc
"""

from __future__ import annotations

import os
import platform
import shlex
from pathlib import Path

from infra.packages.apt import command, unpack
from segrelay.errors import FixConfigurationError

RELEASES = {"1.10": "bookworm", "1.12": "trixie"}
"""Version of Orthanc -> the Debian release that has it (12 and 13)."""

PROGRAM = "usr/sbin/Orthanc"
PLUGIN = "usr/share/orthanc/plugins/libOrthancDicomWeb.so"

_PACKAGES = ("orthanc", "orthanc-dicomweb")


def orthanc_of_version(version: str, cache: Path) -> tuple[Path, Path]:
    """The program and its DICOMweb plugin, fetched below ``cache`` where they are not there yet.

    Raises
    ------
    FixConfigurationError
        ``orthanc-version``: no Debian release here has it; else as ``apt.unpack``.
    """
    release = RELEASES.get(version)
    if release is None:
        raise FixConfigurationError(
            f"There is no Orthanc {version} to be fetched.",
            code="orthanc-version",
            remedy=f"Name one of: {', '.join(RELEASES)}.",
        )
    folder = cache / f"orthanc-{version}-{release}-{platform.machine()}"
    unpack(_PACKAGES, folder, release=release)
    program = _write_script(folder)
    # The first line is the program's path and its version.
    found = command([str(program), "--version"]).partition("\n")[0].rpartition(" ")[2]
    if not found.startswith(f"{version}."):
        raise FixConfigurationError(
            f"The Orthanc of Debian's {release} is {found}, not {version}.",
            code="orthanc-version",
            remedy="Correct RELEASES in infra/packages/orthanc_versions.py.",
        )
    return program, folder / PLUGIN


def _write_script(folder: Path) -> Path:
    """Several processes may do so at once: each sees a whole one."""
    program = folder / "orthanc"
    draft = folder / f"orthanc.{os.getpid()}"
    draft.write_text(_script(folder))
    draft.chmod(0o755)
    return draft.replace(program)


def _script(folder: Path) -> str:
    """A program that becomes Orthanc, under the same process id."""
    # A link may name the loader of this machine.
    loaders = [path for path in folder.glob("**/ld-linux*.so.*") if not path.is_symlink()]
    (loader, *_) = loaders or [folder / "ld.so"]
    libraries = sorted({str(path.parent) for path in folder.glob("**/lib/**/*.so.*")})
    (dictionary, *_) = sorted(folder.glob("usr/share/*dcmtk*/dicom.dic")) or [Path()]
    words = [str(loader), "--library-path", ":".join(libraries), str(folder / PROGRAM)]
    return (
        "#!/bin/sh\n"
        f"export DCMDICTPATH={shlex.quote(str(dictionary))}\n"
        f'exec {shlex.join(words)} "$@"\n'
    )
