"""The outbox after a kill, and what stands beside its SEGs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab_side.agent.delivery.outbox import (
    DRAFT_FILE,
    SEG_FILE,
    Outbox,
    read_entries,
    refused_folder,
)
from segrelay.errors import LocalDiskError, OrthancRefusedError, TransientError
from tests.support.buckets.faulty_bucket import SimulatedCrash
from tests.support.waiting import SEG, make_entry


@pytest.mark.parametrize("first", [DRAFT_FILE, SEG_FILE])
def test_a_kill_while_an_entry_is_removed_leaves_no_torn_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    home = tmp_path / "home"
    waiting = Outbox(home)
    entry = make_entry(waiting, tmp_path / "work")

    def die_half_way(folder: Path, **_options: object) -> None:
        if folder.exists():
            (folder / first).unlink()
            raise SimulatedCrash

    monkeypatch.setattr(shutil, "rmtree", die_half_way)
    with pytest.raises(SimulatedCrash):
        waiting.remove(entry)
    assert not any(path.name == "job" for path in (home / "outbox").iterdir())
    assert waiting.entries() == []

    monkeypatch.undo()
    assert Outbox(home).entries() == []
    assert list((home / "outbox").iterdir()) == []
    shutil.rmtree(home)


def test_a_locked_entry_is_no_defect_and_a_lock_that_the_disk_refuses_neither(
    tmp_path: Path,
) -> None:
    entry = make_entry(Outbox(tmp_path / "home"), tmp_path / "work")
    with entry.lock(), pytest.raises(TransientError) as caught, entry.lock():
        pass
    assert caught.value.code == "outbox-locked"
    lock = entry.folder.with_suffix(".lock")
    # On Windows it goes with its holder.
    lock.unlink(missing_ok=True)
    lock.mkdir()
    with pytest.raises(LocalDiskError, match="refused a lock"), entry.lock():
        pass


def test_an_entry_that_another_process_has_delivered_is_locked_no_more(tmp_path: Path) -> None:
    waiting = Outbox(tmp_path / "home")
    entry = make_entry(waiting, tmp_path / "work")
    waiting.remove(entry)
    with pytest.raises(TransientError) as caught, entry.lock():
        pass
    assert caught.value.code == "outbox-delivered"
    assert list(entry.folder.parent.iterdir()) == []


def test_what_the_one_who_holds_the_lock_meets_is_not_the_locks_fault(tmp_path: Path) -> None:
    entry = make_entry(Outbox(tmp_path / "home"), tmp_path / "work")
    with pytest.raises(FileNotFoundError), entry.lock():
        raise FileNotFoundError
    with entry.lock():
        pass


def test_a_refusal_moves_with_the_seg(tmp_path: Path) -> None:
    home = tmp_path / "home"
    waiting = Outbox(home)
    entry = make_entry(waiting, tmp_path / "work")
    assert entry.refusal is None
    waiting.note_failure(entry, TransientError("Not now."), None)
    waiting.refuse(entry, OrthancRefusedError("No.", code="orthanc-too-large", remedy="Raise it."))
    waiting.set_aside(entry)
    assert waiting.entries() == []
    (kept,) = read_entries(refused_folder(home))
    refusal = kept.refusal
    assert refusal is not None
    assert (refusal.code, refusal.remedy, refusal.tries) == ("orthanc-too-large", "Raise it.", 2)
    assert kept.seg_path.read_bytes() == SEG


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert read_entries(tmp_path / "nowhere") == []
    (tmp_path / "file").touch()
    with pytest.raises(LocalDiskError, match="cannot be listed"):
        read_entries(tmp_path / "file")


def test_what_another_process_has_put_there_first_stays(tmp_path: Path) -> None:
    """Two processes of one computer and one agent id: the first one's SEG may be under way."""
    waiting = Outbox(tmp_path / "home")
    first = make_entry(waiting, tmp_path / "one")
    again = make_entry(waiting, tmp_path / "two", claim="5-other~demo~2.json")
    assert again == first
    assert waiting.entries() == [first]
    assert not (tmp_path / "two").exists()
