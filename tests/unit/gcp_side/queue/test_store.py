"""The site's database keeps the promises of the bucket protocol."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from django.db import transaction
from django.db.models import F

from gcp_side.labseg.host.database import now
from gcp_side.labseg.queue.pruning import prune
from gcp_side.labseg.queue.rows import QueueObject
from gcp_side.labseg.queue.store import DatabaseBucket
from segrelay import names
from segrelay.bucket.lifetimes import LIFETIMES
from segrelay.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnavailableError,
)
from tests.unit.common.bucket import test_local_bucket as contract

pytestmark = pytest.mark.django_db

test_create_writes_once = contract.test_create_writes_once
test_read_stops_just_past_its_limit = contract.test_read_stops_just_past_its_limit
test_move_keeps_the_bytes = contract.test_move_keeps_the_bytes_and_needs_the_right_generation
test_move_never_overwrites = contract.test_move_never_overwrites
test_delete_needs_the_right_generation = contract.test_delete_needs_the_right_generation
test_a_beacon_taken_over = contract.test_a_beacon_taken_over_refuses_the_beats_of_its_first_owner
test_a_beat_needs_a_beacon = contract.test_a_beat_needs_a_beacon
test_a_manifest_like_a_beacon = contract.test_a_manifest_that_looks_like_a_beacon_is_only_bytes
test_list_is_sorted = contract.test_list_is_sorted_by_name_and_hides_what_is_not_an_object

PENDING = f"{names.PENDING}5-01.json"


@pytest.fixture
def bucket() -> DatabaseBucket:
    return DatabaseBucket()


@pytest.mark.parametrize("name", ["", "../x", "a//b", "/etc/passwd", "a\\b", "a/./b", "a\0b"])
def test_no_name_that_another_store_would_refuse(bucket: DatabaseBucket, name: str) -> None:
    with pytest.raises(ObjectNotFoundError):
        bucket.create(name, b"")


def test_a_prefix_is_no_pattern_and_knows_large_from_small(bucket: DatabaseBucket) -> None:
    for name in ("A/x", "a/x", "a%/x", "a_/x", "aé/x"):
        bucket.create(name, b"")
    assert [info.name for info in bucket.list("a")] == ["a%/x", "a/x", "a_/x", "aé/x"]
    assert [info.name for info in bucket.list("a_")] == ["a_/x"]


def test_a_repeated_write_is_known_by_its_nonce(bucket: DatabaseBucket) -> None:
    first = bucket.create("a", b"1", nonce="n1")
    assert bucket.create("a", b"1", nonce="n1") == first
    with pytest.raises(ObjectExistsError):
        bucket.create("a", b"1", nonce="n2")
    moved = bucket.move("a", "b", generation=first.generation, nonce="n3")
    assert bucket.move("a", "b", generation=first.generation, nonce="n3") == moved
    with pytest.raises(ObjectNotFoundError):
        bucket.move("a", "b", generation=first.generation, nonce="n4")
    beat = bucket.take_over("beat", {"k": "1"}, generation=0, nonce="n5")
    assert bucket.take_over("beat", {"k": "1"}, generation=0, nonce="n5") == beat
    again = bucket.take_over("beat", {"k": "2"}, generation=beat.generation, nonce="n6")
    assert bucket.take_over("beat", {"k": "2"}, generation=beat.generation, nonce="n6") == again
    with pytest.raises(PreconditionFailedError):
        bucket.take_over("beat", {"k": "3"}, generation=beat.generation, nonce="n7")


def test_a_replaced_object_has_a_new_generation(bucket: DatabaseBucket) -> None:
    first = bucket.replace("a", b"1")
    second = bucket.replace("a", b"22")
    assert first.generation != second.generation
    assert (bucket.read("a", limit=9), second.size) == (b"22", 2)


def test_times_are_the_databases_and_in_utc(bucket: DatabaseBucket) -> None:
    created = bucket.create("a", b"1").updated
    assert created.utcoffset() == timedelta(0)
    assert abs(created.astimezone(UTC) - now()) < timedelta(seconds=10)


def test_the_change_counts_what_becomes_pending_alone(bucket: DatabaseBucket) -> None:
    before = bucket.change()
    info = bucket.create(PENDING, b"1")
    submitted = bucket.change()
    claimed = bucket.move(PENDING, f"{names.CLAIMED}lab/5-01.json", generation=info.generation)
    bucket.take_over(f"{names.AGENTS}lab.json", {}, generation=0)
    assert bucket.change() == submitted != before
    bucket.move(claimed.name, PENDING, generation=claimed.generation)
    assert bucket.change() != submitted


@pytest.mark.django_db(transaction=True)
def test_a_write_within_a_callers_transaction_is_refused(bucket: DatabaseBucket) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        bucket.create("a", b"1")


def test_what_is_too_old_is_removed_and_nothing_else(bucket: DatabaseBucket) -> None:
    kept = [f"{names.PENDING}x", f"{names.CLAIMED}lab/x", f"{names.AGENTS}lab.json"]
    for name in [*kept, *(f"{prefix}old" for prefix in LIFETIMES)]:
        bucket.create(name, b"")
    longest = max(LIFETIMES.values()) + timedelta(days=1)
    QueueObject.objects.update(updated=F("updated") - longest)
    for prefix in LIFETIMES:
        bucket.create(f"{prefix}young", b"")
    assert prune() == len(LIFETIMES)
    left = [info.name for info in bucket.list("")]
    assert left == sorted([*kept, *(f"{prefix}young" for prefix in LIFETIMES)])


def test_a_silent_database_is_a_store_that_does_not_answer(
    bucket: DatabaseBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError
    from django.db.models import QuerySet

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("could not connect to server 10.0.0.1: password=x")

    monkeypatch.setattr(QuerySet, "values", fail)
    with pytest.raises(StoreUnavailableError) as caught:
        bucket.stat("a")
    assert "password" not in caught.value.message
