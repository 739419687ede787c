"""Accounts that the system hardly knows, and what a computer or a container has of memory."""

from __future__ import annotations

import getpass
import tempfile
from pathlib import Path

import pytest

from lab_side.computer.account import NO_HOME, complete_environment, give_folders, home_folder
from lab_side.computer.machine import memory_bytes
from lab_side.settings.settings_file import find_settings
from segrelay.errors import FixConfigurationError

GIB = 2**30


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user id of which the system knows neither name nor home."""

    def no_name() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(getpass, "getuser", no_name)
    monkeypatch.setattr(Path, "home", no_home)


@pytest.mark.usefixtures("unknown")
def test_an_account_without_name_and_home_is_named_in_the_environment() -> None:
    environment: dict[str, str] = {}
    complete_environment(environment)
    assert environment["LOGNAME"].startswith("uid")
    assert environment["HOME"] == NO_HOME


def test_an_account_that_is_known_gets_no_variable() -> None:
    environment: dict[str, str] = {}
    complete_environment(environment)
    assert environment == {}


@pytest.mark.usefixtures("unknown")
def test_what_needs_a_home_says_so() -> None:
    with pytest.raises(FixConfigurationError, match="no home folder") as caught:
        home_folder()
    assert caught.value.code == "no-home"
    assert "--work-dir" in caught.value.remedy


def test_a_home_that_is_none_is_no_place_of_settings() -> None:
    places = find_settings(None, {"HOME": NO_HOME}).looked_at
    assert not any(NO_HOME in place for place in places)


@pytest.mark.parametrize("home", [NO_HOME, ""])
def test_a_worker_without_a_home_keeps_its_caches_in_the_work_folder(
    tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", NO_HOME)
    environment = {"HOME": home} if home else {}
    give_folders(environment, tmp_path / "scratch")
    assert environment["HOME"] == str(tmp_path / "scratch")
    assert (tmp_path / "scratch").stat().st_mode & 0o077 == 0
    assert "TMPDIR" not in environment


def test_a_worker_without_temporary_files_keeps_them_in_the_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    environment = {"HOME": str(tmp_path)}
    give_folders(environment, tmp_path / "scratch")
    assert environment == {"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "scratch")}


def test_a_worker_that_has_both_gets_nothing(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    give_folders(environment, tmp_path / "scratch")
    assert environment == {"HOME": str(tmp_path)}
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        ({"memory.max": "2147483648\n"}, "0::/\n", 2 * GIB),
        ({"a/b/memory.max": "max\n", "a/memory.max": str(GIB)}, "0::/a/b\n", GIB),
        ({"a/memory.max": str(GIB), "memory.max": str(GIB // 2)}, "0::/a\n", GIB // 2),
        ({"memory/memory.limit_in_bytes": str(GIB)}, "12:memory:/docker/1\n", GIB),
        ({"memory.max": "max\n"}, "0::/\n", None),
        ({}, "", None),
        ({"memory.max": "odd"}, "0::/../..\n", None),
    ],
)
def test_the_memory_of_a_container_goes_before_the_computers(
    tmp_path: Path, files: dict[str, str], membership: str, expected: int | None
) -> None:
    groups = tmp_path / "cgroup"
    for name, text in files.items():
        path = groups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "membership").write_text(membership)
    of_computer = memory_bytes(tmp_path / "none", tmp_path / "none")
    found = memory_bytes(groups, tmp_path / "membership")
    assert found == (of_computer if expected is None else expected)
