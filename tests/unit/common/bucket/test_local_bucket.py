"""The directory bucket keeps the promises of the bucket protocol."""

from __future__ import annotations

import errno
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segrelay.bucket import open_bucket
from segrelay.bucket.local import LocalBucket
from segrelay.errors import (
    FixConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnavailableError,
)

CLAIMERS = 4
JOBS = 60


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "queue")


def test_create_writes_once(bucket: LocalBucket) -> None:
    bucket.create("a/b.json", b"1")
    with pytest.raises(ObjectExistsError):
        bucket.create("a/b.json", b"2")
    assert bucket.read("a/b.json", limit=10) == b"1"


def test_read_stops_just_past_its_limit(bucket: LocalBucket) -> None:
    bucket.create("big", b"x" * 100)
    assert len(bucket.read("big", limit=10)) == 11


def test_move_keeps_the_bytes_and_needs_the_right_generation(bucket: LocalBucket) -> None:
    info = bucket.create("a", b"1")
    with pytest.raises(PreconditionFailedError):
        bucket.move("a", "b", generation=info.generation + 1)
    bucket.move("a", "b", generation=info.generation)
    assert bucket.read("b", limit=10) == b"1"
    with pytest.raises(ObjectNotFoundError):
        bucket.move("a", "c", generation=info.generation)


def test_move_never_overwrites(bucket: LocalBucket) -> None:
    info = bucket.create("a", b"1")
    bucket.create("b", b"2")
    with pytest.raises(ObjectExistsError):
        bucket.move("a", "b", generation=info.generation)
    assert (bucket.read("a", limit=9), bucket.read("b", limit=9)) == (b"1", b"2")


def test_what_cannot_be_looked_at_is_not_overwritten(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = bucket.create("a", b"1")
    bucket.create("b", b"2")
    look = os.stat

    def look_in_vain(path: str, **options: Any) -> os.stat_result:
        if path == str(bucket.root / "b"):
            raise OSError(errno.EIO, "Input/output error")
        return look(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", look_in_vain)
        with pytest.raises(StoreUnavailableError):
            bucket.move("a", "b", generation=info.generation)
        with pytest.raises(StoreUnavailableError):
            bucket.create("b", b"3")
    assert (bucket.read("a", limit=9), bucket.read("b", limit=9)) == (b"1", b"2")
    assert os.listdir(bucket.root / ".tmp") == []


def test_delete_needs_the_right_generation(bucket: LocalBucket) -> None:
    info = bucket.create("a", b"1")
    with pytest.raises(PreconditionFailedError):
        bucket.delete("a", generation=1)
    bucket.delete("a", generation=info.generation)
    with pytest.raises(ObjectNotFoundError):
        bucket.delete("a", generation=info.generation)


def test_a_beacon_taken_over_refuses_the_beats_of_its_first_owner(bucket: LocalBucket) -> None:
    first = bucket.take_over("beat", {"owner": "1"}, generation=0)
    bucket.refresh("beat", {"owner": "1b"}, generation=first.generation)
    second = bucket.take_over("beat", {"owner": "2"}, generation=first.generation)
    with pytest.raises(PreconditionFailedError):
        bucket.refresh("beat", {"owner": "1c"}, generation=first.generation)
    with pytest.raises(PreconditionFailedError):
        bucket.take_over("beat", {"owner": "3"}, generation=0)
    stat = bucket.read_heartbeat("beat")
    assert (stat.generation, stat.metadata) == (second.generation, {"owner": "2"})


def test_a_beat_needs_a_beacon(bucket: LocalBucket) -> None:
    with pytest.raises(ObjectNotFoundError):
        bucket.refresh("beat", {}, generation=5)


def test_a_manifest_that_looks_like_a_beacon_is_only_bytes(bucket: LocalBucket) -> None:
    data = b'{"generation": 5, "metadata": {}}'
    bucket.create("pending/a", data)
    stat = bucket.stat("pending/a")
    assert stat == bucket.list("pending/")[0]
    bucket.move("pending/a", "claimed/a", generation=stat.generation)
    assert not bucket.stat("claimed/a").metadata
    assert bucket.read("claimed/a", limit=100) == data


def test_list_is_sorted_by_name_and_hides_what_is_not_an_object(bucket: LocalBucket) -> None:
    for name in ("p/b", "p/a/x", "q", "p-other"):
        bucket.create(name, b"")
    assert [info.name for info in bucket.list("p/")] == ["p/a/x", "p/b"]
    assert [info.name for info in bucket.list("p")] == ["p-other", "p/a/x", "p/b"]
    assert [info.name for info in bucket.list("")] == ["p-other", "p/a/x", "p/b", "q"]
    assert bucket.list("nothing/here/") == []


@pytest.mark.parametrize(
    "name", ["", "../x", "a/../../x", "/etc/passwd", "a\\b", ".tmp/x", ".lock"]
)
def test_no_name_leaves_the_directory(bucket: LocalBucket, name: str) -> None:
    with pytest.raises(ObjectNotFoundError):
        bucket.create(name, b"")


def test_a_temporary_file_of_a_killed_process_is_swept_when_old(tmp_path: Path) -> None:
    bucket = LocalBucket(tmp_path)
    old, fresh = tmp_path / ".tmp/1-dead", tmp_path / ".tmp/2-busy"
    old.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(old, (1, 1))
    LocalBucket(tmp_path)
    assert (old.exists(), fresh.exists()) == (False, True)
    assert bucket.list("") == []


@pytest.mark.process
def test_many_processes_one_winner_each(tmp_path: Path) -> None:
    bucket = LocalBucket(tmp_path)
    for number in range(JOBS):
        bucket.create(f"pending/{number:03d}", b"job")
    context = multiprocessing.get_context("spawn")
    with context.Pool(CLAIMERS) as pool:
        wins = pool.starmap(_claim_all, [(tmp_path, agent) for agent in range(CLAIMERS)])
    claimed = sorted(name for won in wins for name in won)
    assert claimed == [f"{number:03d}" for number in range(JOBS)]


def _claim_all(root: Path, agent: int) -> list[str]:
    bucket = LocalBucket(root)
    won = []
    for info in bucket.list("pending/"):
        name = info.name.removeprefix("pending/")
        try:
            # One destination for all: the hardest case, where a plain rename would overwrite.
            bucket.move(info.name, f"claimed/{name}", generation=info.generation)
        except (ObjectNotFoundError, ObjectExistsError):
            continue
        won.append(name)
    return won


def test_addresses(tmp_path: Path) -> None:
    assert open_bucket((tmp_path / "q d").as_uri()).describe() == (tmp_path / "q d").as_uri()
    for bad in ("", "queue", "file:///", "http://host/x", "file://host/x"):
        with pytest.raises(FixConfigurationError):
            open_bucket(bad)


def test_a_directory_that_cannot_be_made_is_a_setting_to_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FixConfigurationError) as caught:
        LocalBucket(tmp_path / "file" / "queue")
    assert caught.value.code == "bucket-address"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_its_remedy(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    info = bucket.create("v1/a.json", b"1")

    def refuse(_handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    writes: list[Callable[[], object]] = [
        lambda: bucket.create("v1/b.json", b"2"),
        lambda: bucket.replace("v1/a.json", b"2"),
        lambda: bucket.take_over("v1/c.json", {}, generation=0),
    ]
    if os.name == "posix":
        # Only there a new folder is flushed.
        writes.append(lambda: bucket.move("v1/a.json", "v1/new/a.json", generation=info.generation))
    for write in writes:
        with pytest.raises(StoreUnavailableError) as caught:
            write()
        assert caught.value.code == "store-full"
        assert caught.value.remedy.startswith("Free space on ")
    monkeypatch.undo()
    assert bucket.read("v1/a.json", limit=9) == b"1"
    assert list((bucket.root / ".tmp").iterdir()) == []


def test_a_queue_that_cannot_be_made_on_a_full_disk_is_no_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StoreUnavailableError):
        LocalBucket(tmp_path / "queue")
