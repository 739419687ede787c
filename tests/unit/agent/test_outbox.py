"""The outbox after a kill: every entry that it shows is whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.manifest import Provenance
from lab_side.agent.outbox import DRAFT_FILE, SEG_FILE, Draft, Outbox, OutboxEntry
from tests.support.faulty_bucket import SimulatedCrash
from tests.support.jobs import NOW


def make_entry(waiting: Outbox, folder: Path) -> OutboxEntry:
    folder.mkdir()
    (folder / SEG_FILE).write_bytes(b"seg")
    draft = Draft(
        job_id="job",
        claim=None,
        agent="lab-1",
        job_key="job",
        sop_instance_uid="2.25.1",
        series_instance_uid="2.25.2",
        sha256="0" * 64,
        size_bytes=3,
        frames=1,
        measurements=(),
        provenance=Provenance(
            profile="demo",
            profile_version="1.0.0",
            model_sha256="0" * 64,
            device="cpu",
            versions={},
            stage_seconds={},
            series_instance_uids=("1.2.3",),
        ),
        warnings=(),
        written_at=NOW,
    )
    return waiting.add(folder, draft)


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
