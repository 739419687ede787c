"""Checks the rights of this account on the queue: every step of a job, really done.

All of it happens under ``v1/jobs/.probe/`` and is removed again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime

from lab_side.doctor.finding import Finding, Verdict, failed
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.errors import QueueConflictError, SegRelayError
from segrelay.manifest import utc_now
from segrelay.queue.lease import new_nonce

_DATA = b"{}"


class RightsWalk:
    """One job's way through the queue, step by step."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._root = f"{names.PROBE}{new_nonce()}-"
        self._generation = 0
        self.clock_offset_s: float | None = None
        """How far the store's clock is ahead of this computer's; None where it is not known."""

    def run(self) -> Iterator[Finding]:
        """Every step; what needs an earlier one that failed is not known."""
        is_there = True
        try:
            for check, step, needs_object in self._steps():
                if needs_object and not is_there:
                    yield _not_tried(check)
                    continue
                finding = _try(check, step)
                yield finding
                if check == "right to submit":
                    is_there = finding.verdict is Verdict.OK
        finally:
            self._clean_up()

    def _steps(self) -> Iterator[tuple[str, Callable[[], object], bool]]:
        name = self._name
        yield "right to list", lambda: self._bucket.list(self._root), False
        yield "right to submit", lambda: self._create("pending"), False
        yield "right to read a manifest", lambda: self._bucket.read(name("pending"), limit=10), True
        yield "right to claim", lambda: self._move("pending", "claimed"), True
        yield "right to hand back", lambda: self._move("claimed", "pending"), True
        yield "right to archive", lambda: self._move("pending", "done"), True
        yield "right to beat", self._heartbeat, False
        yield "right to write progress", self._write_progress, False
        yield "right to publish a result", lambda: self._create("result"), False
        yield "right to delete", self._delete, True

    def _name(self, state: str) -> str:
        return f"{self._root}{state}.json"

    def _create(self, state: str) -> None:
        self._generation = self._bucket.create(self._name(state), _DATA).generation

    def _move(self, source: str, target: str) -> None:
        generation = self._bucket.stat(self._name(source)).generation
        self._bucket.move(self._name(source), self._name(target), generation=generation)

    def _heartbeat(self) -> None:
        name = self._name("beacon")
        asked = utc_now()
        taken = self._bucket.take_over(name, {"beat": "1"}, generation=0)
        self.clock_offset_s = _offset(taken.updated, asked, utc_now())
        self._bucket.refresh(name, {"beat": "2"}, generation=taken.generation)

    def _write_progress(self) -> None:
        self._bucket.replace(self._name("progress"), _DATA)
        self._bucket.replace(self._name("progress"), _DATA)

    def _delete(self) -> None:
        for info in self._bucket.list(self._root):
            self._bucket.delete(info.name, generation=info.generation)

    def _clean_up(self) -> None:
        """A leftover does no harm: the lifecycle removes it."""
        with contextlib.suppress(SegRelayError):
            self._delete()


def _try(check: str, step: Callable[[], object]) -> Finding:
    try:
        step()
    except QueueConflictError as error:
        # An earlier step was refused and has left its object elsewhere.
        return Finding.not_known(
            check,
            f"not tried: an earlier step did not get through ({error.code})",
            "Fix the failures above, then run it again.",
        )
    except SegRelayError as error:
        return failed(check, error)
    return Finding.ok(check, "done, under .probe/")


def _not_tried(check: str) -> Finding:
    return Finding.not_known(
        check, "not tried: nothing could be put there", "Fix the failures above, then run it again."
    )


def _offset(there: datetime, asked: datetime, answered: datetime) -> float:
    """Seconds by which a clock is ahead; 0 where it showed a time between question and answer."""
    if asked <= there <= answered:
        return 0.0
    return (there - (answered if there > answered else asked)).total_seconds()
