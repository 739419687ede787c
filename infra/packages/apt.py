"""Packages of this machine's distribution, or of another Debian release, unpacked into a folder.

apt plans and fetches, dpkg unpacks; nothing is installed, and no root is needed. Only the standard
library is needed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from segrelay.errors import FixConfigurationError

_SUPPORT_PACKAGE = re.compile(r"(lib|zlib).*|.*-(data|common|core)")
"""Dependencies worth unpacking: libraries, data, and what a program's package is but a name for;
not further programs and services."""

_COMMAND_LIMIT_S = 300

_KEYRINGS = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")
"""Below ``/usr/share/keyrings``: the keys of all releases that a Debian knows."""


def unpack(packages: Sequence[str], folder: Path, *, release: str | None = None) -> None:
    """Unpack ``packages`` and the libraries that they need into ``folder``, unless it is there.

    ``release`` is the code name of another Debian release, e.g. ``trixie``: then every library
    comes with it, the C library included, because this machine's may be older. Below the folder's
    parent are the archives while it works, a lock, and package lists of its own.

    Raises
    ------
    FixConfigurationError
        No apt here, or the packages cannot be had.
    """
    base = folder.parent
    base.mkdir(parents=True, exist_ok=True)
    with _lock(base / "lock"):
        if not (folder / "packages.json").exists():
            _unpack(packages, folder, base, release)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold ``path`` exclusively: two test runs must not unpack at once."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _unpack(packages: Sequence[str], folder: Path, base: Path, release: str | None) -> None:
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
        if release is None:
            names = _download(packages, archives, base)
        else:
            names = _download_of(release, packages, archives, base)
        for archive in sorted(archives.glob("*.deb")):
            command(["dpkg", "-x", str(archive), str(tree)])
        (tree / "packages.json").write_text(json.dumps(names, indent=1))
        tree.rename(folder)


def _download(packages: Sequence[str], archives: Path, base: Path) -> list[str]:
    """Fetch the archives with the machine's package lists, else with fresh private ones."""
    try:
        return _download_with([], packages, archives)
    except FixConfigurationError:
        options = _private_lists(base / "apt")
        command(["apt-get", *options, "update"])
        return _download_with(options, packages, archives)


def _download_of(release: str, packages: Sequence[str], archives: Path, base: Path) -> list[str]:
    """Fetch the archives of another release, from where this machine's own packages come."""
    own = _private_lists(base / "apt")
    command(["apt-get", *own, "update"])
    targets = command(
        [
            "apt-get",
            *own,
            "indextargets",
            "--format",
            "$(ORIGIN) $(REPO_URI)",
            "Created-By: Packages",
        ]
    )
    folder = base / f"apt-{release}"
    options = _private_lists(folder)
    sources, status = folder / "sources.list", folder / "status"
    sources.write_text(f"deb [signed-by={_keyring()}] {debian_mirror(targets)} {release} main\n")
    # A machine on which nothing is installed yet: then everything needed is in the plan.
    status.write_text("")
    options += ["-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null"]
    options += ["-o", f"Dir::State::status={status}"]
    command(["apt-get", *options, "update"])
    return _download_with(options, packages, archives)


def debian_mirror(targets: str) -> str:
    """Where this machine's Debian packages come from; ``targets`` are lines of origin and address.

    Security updates, which not every mirror holds in the same place, are left out.

    Raises
    ------
    FixConfigurationError
        ``not-debian``: they come from no Debian mirror.
    """
    for line in targets.splitlines():
        origin, _, address = line.partition(" ")
        if origin == "Debian" and "security" not in address:
            return address
    raise FixConfigurationError(
        "Packages of another Debian release can only be fetched on Debian.",
        code="not-debian",
        remedy="Run it on Debian.",
    )


def _keyring() -> Path:
    for name in _KEYRINGS:
        path = Path("/usr/share/keyrings", name)
        if path.exists():
            return path
    raise FixConfigurationError(
        "The keys with which Debian signs its packages are not here.",
        code="program-missing",
        remedy="Install the package debian-archive-keyring.",
    )


def _download_with(options: Sequence[str], packages: Sequence[str], archives: Path) -> list[str]:
    """Let apt itself say what an installation would add; fetch that. Returns the names."""
    plan = command(
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
    command(["apt-get", *options, *user, "download", *names], folder=archives)
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


def command(
    words: Sequence[str], *, folder: Path | None = None, environment: dict[str, str] | None = None
) -> str:
    """Run a command to its end and return what it printed.

    Raises
    ------
    FixConfigurationError
        ``command-failed``: it ended with another code than 0; with its last line.
    """
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
