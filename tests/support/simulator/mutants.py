"""Seeded faults: each takes one precaution out of the real code; the model must notice.

Where a second precaution keeps the job safe all the same, the promise that notices is the
one that the first precaution makes by itself; the mutant's description says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from google.cloud import storage  # type: ignore[import-untyped]

from gcp_side.labseg.queue.store import DatabaseBucket
from lab_side.agent.claiming import Claiming
from lab_side.agent.delivery.deliver import Uploader, _Stored
from lab_side.agent.delivery.outbox import OutboxEntry
from segrelay import names
from segrelay.bucket import Bucket, MovedObject, ObjectInfo
from segrelay.bucket import redis as redis_module
from segrelay.bucket.gcs import GcsBucket
from segrelay.bucket.local import LocalBucket
from segrelay.bucket.redis import RedisBucket
from segrelay.bucket.redis_scripts import Script
from segrelay.errors import TransientError
from segrelay.manifest import AttemptRecord, ResultManifest, SegReference
from segrelay.queue import AgentQueue, Claim, Heartbeat, QueueView, Reaper, claims, reaper
from segrelay.queue.records import publish_result
from segrelay.queue.view import ClaimedJob
from tests.support.simulator.orthanc import uid_of

STORES: tuple[type[Any], ...] = (LocalBucket, GcsBucket, RedisBucket, DatabaseBucket)
"""What keeps the objects."""

_CREATE_UNLESS = RedisBucket.create_unless
_CREATE_AND_MOVE = RedisBucket.create_and_move
_MOVE_AND_READ = RedisBucket.move_and_read


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One fault."""

    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
    promises: frozenset[str]
    """Any of these must be found broken."""
    first: int
    """Number of the history in a directory to begin with: with the seed of ``infra/test`` an early
    find."""


def _result_without_generation_0(patch: pytest.MonkeyPatch) -> None:
    """The last result wins instead of the first."""
    _create_over(patch, names.RESULTS)


def _creating_over(patch: pytest.MonkeyPatch) -> None:
    """What is there does not keep the store from writing."""
    _create_over(patch, "")


def _create_over(patch: pytest.MonkeyPatch, prefix: str) -> None:
    def overwriting(create: Callable[..., ObjectInfo]) -> Callable[..., ObjectInfo]:
        def overwrite(self: Bucket, name: str, data: bytes, **options: str) -> ObjectInfo:
            if name.startswith(prefix):
                return self.replace(name, data)
            return create(self, name, data, **options)

        return overwrite

    for store in STORES:
        patch.setattr(store, "create", overwriting(store.create))

    def create_unless(
        self: RedisBucket, name: str, data: bytes, *, other: str
    ) -> ObjectInfo | None:
        if name.startswith(prefix):
            return self.replace(name, data)
        return _CREATE_UNLESS(self, name, data, other=other)

    def create_and_move(
        self: RedisBucket, name: str, data: bytes, *, source: str, destination: str, other: str
    ) -> bool:
        if name.startswith(prefix):
            self.replace(name, data)
            claims.move_or_drop_duplicate(self, source, destination)
            return True
        return _CREATE_AND_MOVE(
            self, name, data, source=source, destination=destination, other=other
        )

    patch.setattr(RedisBucket, "create_unless", create_unless)
    patch.setattr(RedisBucket, "create_and_move", create_and_move)


def _moving_to_nowhere(patch: pytest.MonkeyPatch) -> None:
    """What was moved is gone: a queue that pops a job before anybody has it safely."""

    def losing(move: Callable[..., ObjectInfo]) -> Callable[..., ObjectInfo]:
        def lose(self: Bucket, *places: str, **options: Any) -> ObjectInfo:
            moved = move(self, *places, **options)
            self.delete(moved.name, generation=moved.generation)
            return moved

        return lose

    for store in STORES:
        patch.setattr(store, "move", losing(store.move))

    def move_and_read(
        self: RedisBucket, source: str, destination: str, **options: Any
    ) -> MovedObject | None:
        moved = _MOVE_AND_READ(self, source, destination, **options)
        if moved is not None:
            self.delete(destination, generation=self.stat(destination).generation)
        return moved

    patch.setattr(RedisBucket, "move_and_read", move_and_read)


def _no_look_at_the_destination(patch: pytest.MonkeyPatch) -> None:
    """A won claim is taken for a lost one.

    The agent recovers it as an orphan of its own, so the job is not lost: what breaks is that a
    living agent's claim is recorded as lost.
    """
    real = claims.exists
    patch.setattr(
        claims, "exists", lambda b, name: not name.startswith(names.CLAIMED) and real(b, name)
    )


def _claim_without_source_generation(patch: pytest.MonkeyPatch) -> None:
    """A claim takes whatever lies under the name by now.

    The fence in the name and the destination's generation 0 keep the job safe; what breaks
    is that a claim takes the very object that was judged.
    """
    require = LocalBucket._require

    def require_any(self: LocalBucket, path: str, source: str, _generation: int) -> ObjectInfo:
        return require(self, path, source, self.stat(source).generation)

    move_blob = storage.Bucket.move_blob

    def move_any(self: Any, *args: Any, **options: Any) -> Any:
        options.pop("if_source_generation_match")
        return move_blob(self, *args, **options)

    check = "if ARGV[3] ~= '' and found ~= ARGV[3] then return {'other-generation'} end"
    for name in ("MOVE", "MOVE_AND_READ"):
        body = vars(redis_module)[name].body
        assert body.count(check) == 1
        patch.setattr(redis_module, name, Script(body.replace(check, "")))
    update = DatabaseBucket._update

    def update_any(self: Any, condition: Mapping[str, Any], **options: Any) -> Any:
        is_move = "name" in options
        return update(self, {"name": condition["name"]} if is_move else condition, **options)

    patch.setattr(LocalBucket, "_require", require_any)
    patch.setattr(storage.Bucket, "move_blob", move_any)
    patch.setattr(DatabaseBucket, "_update", update_any)


def _reaping_by_local_clock(patch: pytest.MonkeyPatch) -> None:
    """The reaper compares the store's times with its own machine's clock."""
    init = Reaper.__init__

    def with_local_clock(self: Reaper, *args: Any, now: Any, **options: Any) -> None:
        lease = getattr(now, "__self__", None)
        init(self, *args, now=now if lease is None else lease._monotonic.wall, **options)

    patch.setattr(Reaper, "__init__", with_local_clock)


def _recovery_before_the_outbox(patch: pytest.MonkeyPatch) -> None:
    """At start every own claim is settled, also of jobs whose SEG waits in the outbox."""
    recover = Reaper.recover_own_claims

    def recover_all_at_start(
        self: Reaper, view: QueueView, previous: Heartbeat | None, *, keep: Collection[str]
    ) -> list[ClaimedJob]:
        is_first = "has_recovered" not in vars(self)
        vars(self)["has_recovered"] = True
        return recover(self, view, previous, keep=() if is_first else keep)

    patch.setattr(Reaper, "recover_own_claims", recover_all_at_start)


def _counting_hand_backs(patch: pytest.MonkeyPatch) -> None:
    """A job that was handed back after work had begun has used up an attempt."""
    patch.setattr(AttemptRecord, "counts", property(lambda self: self.started))


def _archive_before_result(patch: pytest.MonkeyPatch) -> None:
    """The archive is written before the commit point."""

    def finish(self: AgentQueue, claim: Claim, result: ResultManifest) -> ResultManifest:
        self.archive(claim, result.status)
        return publish_result(self._bucket, result)

    patch.setattr(AgentQueue, "finish", finish)


def _result_without_confirmation(patch: pytest.MonkeyPatch) -> None:
    """The result is published whether or not Orthanc took the SEG."""
    store = Uploader._store

    def hope(self: Uploader, entry: OutboxEntry) -> Any:
        try:
            return store(self, entry)
        except TransientError:
            data = entry.seg_path.read_bytes()
            orthanc_id = "-".join(["0" * 8] * 5)
            seg = SegReference(
                orthanc_id=orthanc_id,
                orthanc_series_id=orthanc_id,
                sop_instance_uid=uid_of(entry.draft.job_id),
                series_instance_uid=entry.draft.series_instance_uid,
                sha256=hashlib.sha256(data).hexdigest(),
                size_bytes=len(data),
                frames=1,
            )
            return _Stored(seg, (), already=False, report=None, report_path=entry.seg_path)

    patch.setattr(Uploader, "_store", hope)


def _attempts_overwritten(patch: pytest.MonkeyPatch) -> None:
    """Whoever notices last says how an attempt ended."""
    _create_over(patch, names.ATTEMPTS)


def _two_claims_of_one_job(patch: pytest.MonkeyPatch) -> None:
    """An agent takes the second copy of a job that it already has in hand."""
    patch.setattr(Claiming, "is_in_hand", lambda _self, _job_id: False)


def _no_reaping_of_the_dead(patch: pytest.MonkeyPatch) -> None:
    """Silence is not death: only an agent that said goodbye is reaped."""
    patch.setattr(reaper.Reaper, "_is_over", lambda _self, last, _updated: last.state == "stopped")


MUTANTS = [
    Mutant(name=name, plant=plant, promises=frozenset(promises), first=first)
    for name, plant, promises, first in (
        ("result without generation 0", _result_without_generation_0, {"I3"}, 0),
        ("creating over what is there", _creating_over, {"A1", "I3"}, 0),
        ("moving to nowhere", _moving_to_nowhere, {"I1"}, 0),
        ("no look at the own destination", _no_look_at_the_destination, {"L1"}, 29),
        ("claim without source generation", _claim_without_source_generation, {"S1"}, 78),
        ("reaping by local clock", _reaping_by_local_clock, {"I5", "L1"}, 13),
        ("recovery before the outbox", _recovery_before_the_outbox, {"O1"}, 34),
        ("counting hand-backs as attempts", _counting_hand_backs, {"A2"}, 152),
        ("archive before result", _archive_before_result, {"I3"}, 0),
        ("result without confirmation", _result_without_confirmation, {"I2"}, 31),
        ("attempt records overwritten", _attempts_overwritten, {"A1"}, 0),
        ("two claims of one job", _two_claims_of_one_job, {"I1", "O2"}, 36),
        ("the dead are not reaped", _no_reaping_of_the_dead, {"I5"}, 0),
    )
]
