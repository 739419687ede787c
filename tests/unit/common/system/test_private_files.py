"""Files for one account alone, whatever the umask; and a queue that others can read."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_side import cli
from lab_side.agent.health.control import Pause, pause
from segrelay.bucket.local import LocalBucket
from segrelay.manifest import utc_now
from segrelay.system.private_files import close_to_others, private_files, share

pytestmark = pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")

UMASKS = (0o000, 0o022, 0o027, 0o077)


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    try:
        yield request.param
    finally:
        assert os.umask(before) == request.param


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def modes(folder: Path) -> set[tuple[bool, int]]:
    return {(path.is_dir(), mode(path)) for path in folder.rglob("*")}


@pytest.mark.process
def test_what_is_made_within_is_for_this_account_alone(umask: int, tmp_path: Path) -> None:
    with private_files():
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "a" / "file").write_bytes(b"")
        child = f"open({str(tmp_path / 'a' / 'b' / 'child')!r}, 'w')"
        subprocess.run([sys.executable, "-c", child], check=True)
    assert modes(tmp_path) == {(True, 0o700), (False, 0o600)}
    (tmp_path / "after").write_bytes(b"")
    assert mode(tmp_path / "after") == 0o666 & ~umask


def test_one_within_another_ends_with_the_outer(umask: int, tmp_path: Path) -> None:
    with private_files():
        with private_files():
            pass
        (tmp_path / "file").write_bytes(b"")
        (tmp_path / "shared").write_bytes(b"")
        share(tmp_path / "shared")
    assert mode(tmp_path / "file") == 0o600
    assert mode(tmp_path / "shared") == 0o600 | (0o666 & ~umask)


def test_a_queue_in_a_directory_has_the_rights_that_it_has_without(
    umask: int, tmp_path: Path
) -> None:
    def fill(root: Path) -> set[tuple[str, int]]:
        bucket = LocalBucket(root)
        info = bucket.create("v1/jobs/pending/a.json", b"{}")
        bucket.move(
            "v1/jobs/pending/a.json", "v1/jobs/claimed/x/a.json", generation=info.generation
        )
        bucket.replace("v1/results/a.json", b"{}")
        bucket.take_over("v1/jobs/agents/x.json", {}, generation=0)
        return {(str(path.relative_to(root)), mode(path)) for path in root.rglob("*")}

    with private_files():
        found = fill(tmp_path / "private")
    assert found == fill(tmp_path / "plain")


def test_rights_that_the_parent_gives_stay(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o2770)
    before = os.umask(0o022)
    try:
        with private_files():
            bucket = LocalBucket(tmp_path / "queue")
            bucket.create("v1/a.json", b"{}")
            os.chmod(tmp_path / "queue" / "v1", 0o2775)
            share(tmp_path / "queue" / "v1")
    finally:
        os.umask(before)
    assert mode(tmp_path / "queue" / "v1") == 0o2775


def test_what_was_left_open_is_closed_and_links_are_not_followed(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    (home / "outbox" / "job").mkdir(parents=True)
    (home / "queue").mkdir()
    elsewhere.mkdir()
    for file in (home / "outbox" / "job" / "seg.dcm", home / "queue" / "a", elsewhere / "mine"):
        file.write_bytes(b"")
    (home / "link").symlink_to(elsewhere / "mine")
    (home / "folder").symlink_to(elsewhere)
    os.mkfifo(home / "pipe")
    for path in [home, *home.rglob("*"), elsewhere, elsewhere / "mine"]:
        if not path.is_symlink():
            os.chmod(path, 0o777)
    close_to_others(home, but=home / "queue")
    assert (mode(home), mode(home / "outbox"), mode(home / "outbox" / "job")) == (0o700,) * 3
    assert mode(home / "outbox" / "job" / "seg.dcm") == 0o700
    assert (mode(elsewhere), mode(elsewhere / "mine")) == (0o777, 0o777)
    assert (mode(home / "queue"), mode(home / "queue" / "a")) == (0o777, 0o777)
    close_to_others(tmp_path / "nothing")
    close_to_others(home / "link")
    assert mode(elsewhere / "mine") == 0o777


def test_an_order_can_be_read_by_the_agents_account_alone(umask: int, tmp_path: Path) -> None:
    pause(tmp_path / "home", Pause(reason="the reason", at=utc_now()))
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert [mode(path) for path in files] == [0o600]


@pytest.mark.parametrize("command", ["once", "segment"])
def test_a_command_is_private_as_long_as_it_runs(
    umask: int, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    seen: list[int] = []

    def watched(_: object) -> int:
        seen.append(os.umask(0o077))
        return 0

    monkeypatch.setattr(cli, {"once": "_serve", "segment": "_segment"}[command], watched)
    cli.run([command, *(["--series-ids", "x"] if command == "segment" else [])])
    assert seen == [0o077]
