"""Rounds of deliveries: oldest first, and what one failure means for the others."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from lab_side.agent.delivery.delivery_queue import DeliveryQueue
from lab_side.agent.delivery.outbox import TROUBLE_FILE, Outbox, OutboxEntry
from segrelay.errors import (
    AttemptFailedError,
    FixConfigurationError,
    LocalDiskError,
    OrthancRefusedError,
    OrthancUnavailableError,
    PreconditionFailedError,
    SegRelayError,
    StoreUnavailableError,
    TransientError,
)
from segrelay.retry import DELIVERY
from tests.support.jobs import NOW
from tests.support.waiting import make_entry

LONGEST_JITTER = 1.2


@dataclass
class Scene:
    """An outbox, and a uploader that does what the test says."""

    outbox: Outbox
    folder: Path
    failing: dict[str, SegRelayError] = field(default_factory=dict)
    """By job."""
    tried: list[str] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    fatal: list[SegRelayError] = field(default_factory=list)
    is_orthanc_there: bool = True
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.rounds = self.start_next_life()

    def start_next_life(self) -> DeliveryQueue:
        return DeliveryQueue(
            self.outbox,
            cast(Any, self),
            is_orthanc_there=lambda: self.is_orthanc_there,
            is_stopped=lambda: False,
            on_removed=self.delivered.append,
            on_delivered=lambda _delivery: None,
            on_fatal=self.fatal.append,
            monotonic=lambda: self.seconds,
        )

    def add(self, *jobs: str) -> None:
        """SEGs in the order of their age."""
        for job in jobs:
            made = NOW + timedelta(seconds=len(list(self.folder.iterdir())))
            make_entry(self.outbox, self.folder / job, job_id=job, written_at=made)

    def deliver(self, entry: OutboxEntry) -> None:
        """The uploader's part."""
        job = entry.draft.job_id
        self.tried.append(job)
        if job in self.failing:
            raise self.failing[job]
        self.outbox.remove(entry)

    def run(self) -> list[str]:
        """One round; the jobs that were tried in it."""
        self.tried.clear()
        self.rounds.run()
        return list(self.tried)

    def run_next(self) -> list[str]:
        """The next round that comes by itself."""
        while not self.rounds.wait(0):
            self.seconds += 0.5
        return self.run()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = tmp_path / "made"
    made.mkdir()
    return Scene(Outbox(tmp_path / "home"), made)


def test_the_oldest_goes_first_across_restarts(scene: Scene, tmp_path: Path) -> None:
    for number, job in enumerate(["b", "c", "a"]):
        made = NOW - timedelta(seconds=number)
        make_entry(scene.outbox, scene.folder / job, job_id=job, written_at=made)
    scene.outbox = Outbox(tmp_path / "home")
    scene.rounds = scene.start_next_life()
    assert scene.run() == ["a", "c", "b"]
    assert scene.delivered == ["a", "c", "b"]
    assert scene.rounds.has_tried_all


@pytest.mark.parametrize(
    "error",
    [
        LocalDiskError("The outbox cannot be read (Input/output error)."),
        TransientError("Another process delivers this SEG now.", code="outbox-locked"),
        PreconditionFailedError("The object is another generation."),
        AttemptFailedError("The worker died.", code="worker-died"),
    ],
    ids=lambda error: error.code,
)
def test_what_one_seg_meets_alone_keeps_no_other(scene: Scene, error: SegRelayError) -> None:
    scene.add("a", "b", "c")
    scene.failing["a"] = error
    assert scene.run() == ["a", "b", "c"]
    assert scene.delivered == ["b", "c"]
    assert scene.rounds.has_tried_all
    scene.add("d")
    scene.rounds.wake()
    assert scene.run() == ["d"], "the first waits by itself"
    scene.failing.clear()
    assert scene.run_next() == ["a"]
    assert scene.seconds <= DELIVERY.first * LONGEST_JITTER + 0.5
    assert not scene.rounds.is_postponed


def test_a_seg_that_another_process_has_locked_keeps_no_other(scene: Scene) -> None:
    scene.add("a", "b")
    with scene.outbox.entries()[0].lock():
        assert scene.run() == ["b"]
    assert scene.run_next() == ["a"]
    assert scene.delivered == ["b", "a"]


def test_a_seg_that_another_process_delivers_in_between_is_settled(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.add("a", "b")
    entries = scene.outbox.entries()
    scene.outbox.remove(entries[0])
    monkeypatch.setattr(scene.outbox, "entries", lambda: entries)
    assert scene.run() == ["b"]
    assert scene.delivered == ["a", "b"]
    assert not scene.rounds.is_postponed


def test_a_seg_that_orthanc_refuses_keeps_no_other(scene: Scene) -> None:
    scene.add("a", "b")
    scene.failing["a"] = OrthancRefusedError("No.")
    assert scene.run() == ["a", "b"]
    assert scene.delivered == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "is_orthanc_there"),
    [(OrthancUnavailableError("No answer."), False), (StoreUnavailableError("No answer."), True)],
    ids=["orthanc", "queue"],
)
def test_while_all_would_fail_only_the_oldest_is_tried(
    scene: Scene, error: SegRelayError, is_orthanc_there: bool
) -> None:
    scene.add("a", "b", "c")
    scene.failing = dict.fromkeys("abc", error)
    scene.is_orthanc_there = is_orthanc_there
    assert scene.run() == ["a"]
    assert [scene.run_next() for _ in range(5)] == [["a"]] * 5
    assert scene.rounds.has_tried_all
    scene.failing.clear()
    assert scene.run_next() == ["a", "b", "c"]
    assert scene.delivered == ["a", "b", "c"]


def test_the_pause_doubles_up_to_its_limit(scene: Scene) -> None:
    scene.add("a")
    scene.failing["a"], scene.is_orthanc_there = OrthancUnavailableError("No answer."), False
    scene.run()
    pauses = []
    for _ in range(9):
        before = scene.seconds
        scene.run_next()
        pauses.append(scene.seconds - before)
    assert pauses[0] <= DELIVERY.first * LONGEST_JITTER + 0.5
    assert pauses[1] > pauses[0]
    assert all(
        0.8 * DELIVERY.longest <= pause <= LONGEST_JITTER * DELIVERY.longest + 0.5
        for pause in pauses[-2:]
    )


def test_a_seg_that_orthanc_never_takes_does_not_block_those_behind_it(scene: Scene) -> None:
    scene.add("a", "b", "c")
    scene.failing["a"] = OrthancUnavailableError("Orthanc has a problem (HTTP 500).")
    assert scene.run() == ["a", "b", "c"]
    assert scene.delivered == ["b", "c"]


def test_many_segs_that_orthanc_never_takes_do_not_block_either(scene: Scene) -> None:
    """While all fail alike it may be Orthanc: few are tried, one more in each round."""
    scene.add("a", "b", "c", "d", "e")
    scene.failing = dict.fromkeys("abcd", OrthancUnavailableError("Orthanc has a problem."))
    assert scene.run() == ["a", "b"]
    assert scene.run_next() == ["a", "b", "c"]
    assert scene.run_next() == ["a", "b", "c", "d"]
    assert scene.run_next() == ["a", "b", "c", "d", "e"]
    assert scene.delivered == ["e"]
    scene.add("f")
    scene.rounds.wake()
    assert scene.run() == ["f"]


def test_a_new_seg_in_the_middle_of_a_pause_starts_a_round_and_does_not_lengthen_it(
    scene: Scene,
) -> None:
    scene.add("a")
    scene.failing = dict.fromkeys("ab", OrthancUnavailableError("No answer."))
    scene.is_orthanc_there = False
    scene.run()
    for _ in range(20):
        scene.rounds.wake()
        assert not scene.rounds.has_tried_all
        assert scene.rounds.wait(0)
        scene.run()
    scene.failing.clear()
    scene.run_next()
    assert scene.seconds <= DELIVERY.first * LONGEST_JITTER + 0.5


def test_a_wrong_password_ends_the_agent_and_is_written_down(scene: Scene) -> None:
    scene.add("a", "b")
    error = FixConfigurationError("Refused.", code="orthanc-credentials", remedy="Check it.")
    scene.failing["a"] = error
    assert scene.run() == ["a"]
    assert scene.fatal == [error]
    trouble = scene.outbox.entries()[0].trouble
    assert trouble is not None
    assert (trouble.code, trouble.remedy) == ("orthanc-credentials", "Check it.")


def test_each_failure_is_written_down_beside_the_seg(scene: Scene) -> None:
    scene.add("a", "b")
    scene.failing["a"] = LocalDiskError("No.", code="local-disk", remedy="Free space.")
    scene.run()
    scene.run_next()
    (entry,) = scene.outbox.entries()
    trouble = entry.trouble
    assert trouble is not None
    assert (trouble.tries, trouble.code, trouble.message, trouble.remedy) == (
        2,
        "local-disk",
        "No.",
        "Free space.",
    )
    assert trouble.next_at is not None
    assert trouble.next_at > trouble.at
    scene.failing.clear()
    scene.run_next()
    assert not list((entry.folder.parent).iterdir()), "the note goes with the SEG"


def test_a_note_that_cannot_be_written_or_read_changes_nothing(scene: Scene) -> None:
    scene.add("a")
    (entry,) = scene.outbox.entries()
    (entry.folder / TROUBLE_FILE).mkdir()
    scene.failing["a"] = LocalDiskError("No.")
    scene.run()
    assert entry.trouble is None
    scene.failing.clear()
    scene.run_next()
    assert scene.delivered == ["a"]


def test_a_person_who_asks_is_heard_at_once(scene: Scene, tmp_path: Path) -> None:
    scene.add("a", "b")
    scene.failing = {"a": LocalDiskError("No.")}
    scene.run()
    assert not scene.rounds.wait(0)
    (tmp_path / "home/outbox/.retry").touch()
    assert scene.rounds.wait(0)
    assert scene.run() == ["a"]
    assert not (tmp_path / "home/outbox/.retry").exists()
    assert not scene.rounds.wait(0), "once"


def test_an_outbox_that_cannot_be_listed_is_looked_at_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.add("a")

    def refuse() -> list[OutboxEntry]:
        raise LocalDiskError("The outbox cannot be listed (Input/output error).")

    monkeypatch.setattr(scene.outbox, "entries", refuse)
    assert scene.run() == []
    monkeypatch.undo()
    assert scene.run_next() == ["a"]


def test_a_ring_ends_the_wait(scene: Scene) -> None:
    done: list[bool] = []
    waiting = threading.Thread(target=lambda: done.append(scene.rounds.wait(60)))
    waiting.start()
    scene.rounds.wake()
    waiting.join(30)
    assert done == [True]


def test_segs_of_another_process_are_noticed_unless_they_wait(scene: Scene) -> None:
    scene.add("a", "b")
    scene.rounds.wake_for(["a", "b"])
    assert scene.rounds.wait(0)
    scene.failing["a"] = LocalDiskError("No.")
    scene.run()
    scene.rounds.wake_for(["a"])
    assert not scene.rounds.wait(0)
    scene.rounds.wake_for(["a", "c"])
    assert scene.rounds.wait(0)
