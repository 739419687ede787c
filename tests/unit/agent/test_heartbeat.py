"""The heartbeat goes on whatever becomes of the progress."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from common.bucket import ObjectInfo
from common.errors import StoreUnavailableError
from common.local_bucket import LocalBucket
from common.queue import Lease
from common.queue.lease import BEAT_EVERY, LEASE
from lab_side.agent import heartbeat
from lab_side.agent.board import Board
from lab_side.agent.heartbeat import RETRY_AFTER, Heartbeat
from tests.support.jobs import make_identity

DEADLINE = 20.0
"""Seconds until the test gives up."""

BEATS = 5


class NoProgress(LocalBucket):
    """Refuses what is written over, and counts the beats."""

    refused = 0
    beats = 0

    def replace(self, name: str, data: bytes) -> ObjectInfo:
        self.refused += 1
        raise StoreUnavailableError("It hung.")

    def beat(self, *arguments: object, **options: object) -> ObjectInfo:
        self.beats += 1
        return super().beat(*arguments, **options)  # type: ignore[arg-type]


def test_progress_that_never_gets_through_costs_no_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the product's proportions: a retry waits for several looks at the board."""
    monkeypatch.setattr(heartbeat, "BEAT_EVERY", 0.03)
    monkeypatch.setattr(heartbeat, "PROGRESS_EVERY", 0.01)
    monkeypatch.setattr(heartbeat, "RETRY_AFTER", 0.05)
    bucket = NoProgress(tmp_path)
    board = Board(identity=make_identity(), version="1", profiles=("demo",))
    board.post("job", 1, "fetch")
    lease = Lease(bucket, "lab-1", board.identity, is_dead=lambda _: False)
    lease.take(board.beat())
    beating = Heartbeat(bucket, lease, board, on_lost=threading.Event().set)
    beating.start()
    try:
        limit = time.monotonic() + DEADLINE
        while bucket.beats < BEATS:
            assert time.monotonic() < limit, f"{bucket.refused} refusals, {bucket.beats} beats"
            time.sleep(0.01)
        assert bucket.refused > 0
    finally:
        beating.stop()


def test_one_hung_call_fits_into_the_lease() -> None:
    """A beat that is due, right behind a progress that hangs to its end, is not too late."""
    gcs = pytest.importorskip("common.gcs_bucket")
    last_try = sum(gcs.REQUEST_TIMEOUT) + gcs.ANSWER_LIMIT
    longest_call = gcs.RETRY_DEADLINE + last_try
    assert BEAT_EVERY + longest_call + RETRY_AFTER < LEASE.total_seconds()
