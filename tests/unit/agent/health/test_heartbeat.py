"""The heartbeat goes on whatever becomes of the progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab_side.agent.health import heartbeat
from lab_side.agent.health.heartbeat import Heartbeat
from lab_side.agent.reporting.status_board import StatusBoard
from segrelay import retry
from segrelay.bucket import ObjectInfo
from segrelay.bucket.local import LocalBucket
from segrelay.errors import StoreUnavailableError
from segrelay.notices import notice
from segrelay.queue import AgentState, Lease
from segrelay.queue.lease import HEARTBEAT_EVERY, LEASE
from segrelay.queue.view import read_heartbeat
from segrelay.stages import Stage
from tests.support.jobs import make_identity

DEADLINE = 20.0
"""Seconds until the test gives up."""

HEARTBEATS = 5


class NoProgress(LocalBucket):
    """Refuses what is written over, and counts the beats."""

    refused = 0
    heartbeats = 0

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        self.refused += 1
        raise StoreUnavailableError("It hung.")

    def refresh(self, *arguments: object, **options: object) -> ObjectInfo:
        self.heartbeats += 1
        return super().refresh(*arguments, **options)  # type: ignore[arg-type]


def test_progress_that_never_gets_through_costs_no_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the product's proportions: a retry waits for several looks at the status."""
    monkeypatch.setattr(heartbeat, "HEARTBEAT_EVERY", 0.03)
    monkeypatch.setattr(heartbeat, "PROGRESS_EVERY", 0.01)
    monkeypatch.setattr(retry, "HEARTBEAT", retry.RetryPolicy(first=0.05))
    bucket = NoProgress(tmp_path)
    status = StatusBoard(identity=make_identity(), version="1", profiles=("demo",))
    status.set_stage("job", 1, Stage.FETCH)
    lease = Lease(bucket, "lab-1", status.identity, is_dead=lambda _: False)
    lease.take(status.heartbeat())
    beating = Heartbeat(bucket, lease, status, on_lost=threading.Event().set)
    beating.start()
    try:
        limit = time.monotonic() + DEADLINE
        while bucket.heartbeats < HEARTBEATS:
            assert time.monotonic() < limit, (bucket.refused, bucket.heartbeats)
            time.sleep(0.01)
        assert bucket.refused > 0
    finally:
        beating.stop()


class Hangs(LocalBucket):
    """A beat that never comes back, until it is let go."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.is_called, self.let_go = threading.Event(), threading.Event()

    def refresh(self, *arguments: object, **options: object) -> ObjectInfo:
        self.is_called.set()
        self.let_go.wait(DEADLINE)
        raise StoreUnavailableError("It hung.")


def test_beats_that_fail_are_well_and_a_beat_that_hangs_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the watchdog of the service goes by."""
    monkeypatch.setattr(heartbeat, "HEARTBEAT_EVERY", 0.01)
    monkeypatch.setattr(heartbeat, "PROGRESS_EVERY", 0.01)
    monkeypatch.setattr(retry, "HEARTBEAT", retry.RetryPolicy(first=0.01))
    monkeypatch.setattr(heartbeat, "LONGEST_TURN", 2.0)
    bucket = Hangs(tmp_path)
    _, beating = start_heartbeating(bucket)
    try:
        assert bucket.is_called.wait(DEADLINE)
        wait_until(lambda: not beating.is_well(), "the hang is noticed")
        bucket.let_go.set()
        wait_until(beating.is_well, "failures are no hang")
    finally:
        bucket.let_go.set()
        beating.stop()
    assert not beating.is_well()


def start_heartbeating(bucket: LocalBucket) -> tuple[StatusBoard, Heartbeat]:
    status = StatusBoard(identity=make_identity(), version="1", profiles=("demo",))
    lease = Lease(bucket, "lab-1", status.identity, is_dead=lambda _: False)
    lease.take(status.heartbeat())
    beating = Heartbeat(bucket, lease, status, on_lost=threading.Event().set)
    beating.start()
    return status, beating


def wait_until(what: Callable[[], bool], why: str) -> None:
    limit = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < limit, why
        time.sleep(0.01)


def test_a_new_state_is_told_before_a_beat_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "PROGRESS_EVERY", 0.01)
    bucket = LocalBucket(tmp_path)
    status, beating = start_heartbeating(bucket)
    try:
        status.set_state(AgentState.PAUSED, notice("operator-reason", text="Kim trains"))
        beating.send_soon_if_new()
        wait_until(lambda: told_state(bucket) == "paused", "the pause is told")
    finally:
        beating.stop()


def told_state(bucket: LocalBucket) -> str:
    seen = read_heartbeat(bucket, "lab-1")
    return "" if seen is None else seen.heartbeat.state


def test_one_hung_call_fits_into_the_lease() -> None:
    """A beat that is due, right behind a progress that hangs to its end, is not too late."""
    gcs = pytest.importorskip("segrelay.bucket.gcs")
    last_try = sum(gcs.REQUEST_TIMEOUT) + gcs.ANSWER_LIMIT
    longest_call = retry.STORE_REQUEST.deadline + last_try
    assert HEARTBEAT_EVERY + longest_call + retry.HEARTBEAT.pause() < LEASE.total_seconds()
