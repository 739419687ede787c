"""Another Debian's Orthanc: where it comes from, and how it is started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from infra.packages import orthanc_versions
from infra.packages.apt import debian_mirror
from infra.packages.debian import repository_root
from infra.packages.orthanc_versions import PROGRAM, RELEASES, orthanc_of_version
from segrelay.errors import FixConfigurationError

TARGETS = """\
Elsewhere http://packages.example.org/apt/
Debian http://mirror.example.org/debian-security/
Debian http://mirror.example.org/debian/
Debian http://other.example.org/debian/
"""


def test_the_mirror_is_the_one_of_this_machine() -> None:
    assert debian_mirror(TARGETS) == "http://mirror.example.org/debian/"


@pytest.mark.parametrize("targets", ["", "Ubuntu http://mirror.example.org/ubuntu/\n"])
def test_elsewhere_than_on_debian_it_is_refused(targets: str) -> None:
    with pytest.raises(FixConfigurationError) as said:
        debian_mirror(targets)
    assert said.value.code == "not-debian"


def test_a_version_that_no_release_has_is_refused_with_those_that_there_are(
    tmp_path: Path,
) -> None:
    with pytest.raises(FixConfigurationError) as said:
        orthanc_of_version("1.13", tmp_path)
    assert said.value.remedy == "Name one of: 1.10, 1.12."
    assert list(tmp_path.iterdir()) == []


def unpacked(version: str, folder: Path) -> None:
    """A release whose loader says how it was called, in place of one that loads."""
    libraries = folder / "usr/lib/some-linux-gnu"
    for path in (libraries, folder / "usr/lib64", folder / "usr/share/libdcmtk9"):
        path.mkdir(parents=True)
    (libraries / "libz.so.1").touch()
    (folder / "usr/share/libdcmtk9/dicom.dic").touch()
    loader = folder / "usr/lib64/ld-linux-x86-64.so.2"
    loader.write_text(
        f'#!/bin/sh\n[ "$4" = --version ] && echo "$3 {version}" || echo "$DCMDICTPATH" "$@" $$\n'
    )
    loader.chmod(0o755)


@pytest.mark.process
def test_it_is_started_by_its_own_loader_with_its_own_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        orthanc_versions, "unpack", lambda _packages, folder, release: unpacked("1.12.7", folder)
    )
    program, _plugin = orthanc_of_version("1.12", tmp_path)
    process = subprocess.Popen([program, "a b.json"], stdout=subprocess.PIPE, text=True)
    dictionary, flag, libraries, orthanc, configuration, pid = process.communicate()[0].split(
        " ", 5
    )
    assert Path(dictionary) == program.parent / "usr/share/libdcmtk9/dicom.dic"
    assert (flag, libraries) == ("--library-path", str(program.parent / "usr/lib/some-linux-gnu"))
    assert Path(orthanc) == program.parent / PROGRAM
    assert f"{configuration} {pid}" == f"a b.json {process.pid}\n"


@pytest.mark.process
def test_another_version_than_the_release_should_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        orthanc_versions, "unpack", lambda _packages, folder, release: unpacked("1.13.0", folder)
    )
    with pytest.raises(FixConfigurationError, match=r"trixie is 1\.13\.0, not 1\.12"):
        orthanc_of_version("1.12", tmp_path)


def test_the_test_script_knows_the_same_versions() -> None:
    text = (repository_root() / "infra" / "test").read_text(encoding="utf-8")
    assert f"with this version of it: {' or '.join(RELEASES)}," in text
    (other,) = [line for line in text.splitlines() if line.startswith("other_orthanc=")]
    assert other.removeprefix("other_orthanc=") in RELEASES


@pytest.mark.long
@pytest.mark.parametrize("version", RELEASES)
def test_every_version_can_be_had_and_says_what_it_is(version: str) -> None:
    cache = repository_root() / ".cache" / "debian"
    program, plugin = orthanc_of_version(version, cache)
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert f" {version}." in said.stdout.splitlines()[0]
    assert plugin.is_file()
