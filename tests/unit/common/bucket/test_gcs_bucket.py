"""The cloud bucket keeps the promises of the bucket protocol, whatever answer is lost."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta

import pytest
from google.auth import exceptions as auth
from google.cloud import storage  # type: ignore[import-untyped]

from infra.fake_gcs import FakeGcs, FaultKind
from segrelay.bucket import open_bucket
from segrelay.bucket.gcs import GcsBucket
from segrelay.errors import (
    FixConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    SegRelayError,
    StoreUnavailableError,
)
from tests.support.buckets.gcs import BUCKET, fresh_bucket, make_bucket
from tests.unit.common.bucket import test_local_bucket as contract

# The promises are the directory's: the same tests, over this file's bucket.
test_create_writes_once = contract.test_create_writes_once
test_read_stops_just_past_its_limit = contract.test_read_stops_just_past_its_limit
test_move_keeps_the_bytes = contract.test_move_keeps_the_bytes_and_needs_the_right_generation
test_move_never_overwrites = contract.test_move_never_overwrites
test_delete_needs_the_right_generation = contract.test_delete_needs_the_right_generation
test_a_beacon_taken_over = contract.test_a_beacon_taken_over_refuses_the_beats_of_its_first_owner
test_a_beat_needs_a_beacon = contract.test_a_beat_needs_a_beacon
test_a_manifest_like_a_beacon = contract.test_a_manifest_that_looks_like_a_beacon_is_only_bytes

LOST = (FaultKind.DROP_AFTER, FaultKind.STATUS_AFTER, FaultKind.CUT)
"""Done, but the client does not hear of it."""


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET]) as fake:
        yield fake


@pytest.fixture
def bucket(fake: FakeGcs) -> Iterator[GcsBucket]:
    with fresh_bucket(fake) as bucket:
        yield bucket


def test_list_is_sorted_and_stays_under_its_root(fake: FakeGcs, bucket: GcsBucket) -> None:
    for name in ("p/b", "p/a/x", "q", "p-other"):
        bucket.create(name, b"")
    assert [info.name for info in bucket.list("p/")] == ["p/a/x", "p/b"]
    assert [info.name for info in bucket.list("")] == ["p-other", "p/a/x", "p/b", "q"]
    assert bucket.list("nothing/here/") == []


def test_one_listing_brings_the_heartbeats_along(fake: FakeGcs, bucket: GcsBucket) -> None:
    bucket.take_over("v1/jobs/agents/lab-1.json", {"beat": "{}"}, generation=0)
    bucket.create("v1/jobs/pending/x.json", b"{}")
    fake.forget_requests()
    heartbeat, job = bucket.list("v1/jobs/")
    assert (heartbeat.metadata, job.metadata) == ({"beat": "{}"}, {})
    assert [item["operation"] for item in fake.requests] == ["list"]


def test_an_object_without_bytes(bucket: GcsBucket) -> None:
    info = bucket.create("empty", b"")
    assert (info.size, bucket.read("empty", limit=10)) == (0, b"")


def test_what_was_stored_compressed_is_inflated_within_the_limit(
    fake: FakeGcs, bucket: GcsBucket
) -> None:
    def store(name: str, data: bytes) -> None:
        blob = bucket.client.bucket(BUCKET).blob(f"{bucket.prefix}/{name}")
        blob.content_encoding = "gzip"
        blob.upload_from_string(data)

    store("small", gzip.compress(b'{"a": 1}'))
    assert bucket.read("small", limit=100) == b'{"a": 1}'
    store("bomb", gzip.compress(bytes(50_000_000)))
    assert len(bucket.read("bomb", limit=60_000)) == 60_001
    store("broken", b"\x1f\x8bnothing")
    assert bucket.read("broken", limit=100) == b"\x1f\x8bnothing"


def test_times_are_utc(bucket: GcsBucket) -> None:
    assert bucket.create("a", b"1").updated.tzinfo == UTC


@pytest.mark.parametrize("name", ["", "../x", "a//b", "/etc/passwd", "a\\b", "a/./b"])
def test_no_name_leaves_the_root(bucket: GcsBucket, name: str) -> None:
    with pytest.raises(ObjectNotFoundError):
        bucket.create(name, b"")


def test_a_beat_replaces_all_that_the_last_one_said(bucket: GcsBucket) -> None:
    lit = bucket.take_over("beat", {"one": "1", "two": "2"}, generation=0)
    bucket.refresh("beat", {"two": "3"}, generation=lit.generation)
    assert bucket.stat("beat").metadata == {"two": "3"}


def test_a_beat_moves_the_stores_time_and_keeps_the_generation(bucket: GcsBucket) -> None:
    lit = bucket.take_over("beat", {}, generation=0)
    beaten = bucket.refresh("beat", {"k": "v"}, generation=lit.generation)
    assert beaten.generation == lit.generation
    assert beaten.updated >= lit.updated


@pytest.mark.parametrize("kind", LOST)
def test_a_creation_whose_answer_was_lost_is_known_as_ones_own(
    fake: FakeGcs, bucket: GcsBucket, kind: FaultKind
) -> None:
    fake.break_next(kind, "upload")
    info = bucket.create("a", b"1")
    assert bucket.stat("a") == info
    statuses = [item["status"] for item in fake.requests if item["operation"] == "upload"]
    assert statuses[-1] == 412, "the client did not run into its own object"
    with pytest.raises(ObjectExistsError):
        bucket.create("a", b"1")


@pytest.mark.parametrize("kind", LOST)
def test_a_heartbeat_taken_over_whose_answer_was_lost_is_known_as_ones_own(
    fake: FakeGcs, bucket: GcsBucket, kind: FaultKind
) -> None:
    fake.break_next(kind, "upload")
    first = bucket.take_over("beat", {"owner": "1"}, generation=0)
    fake.break_next(kind, "upload")
    second = bucket.take_over("beat", {"owner": "2"}, generation=first.generation)
    assert second.generation != first.generation
    fake.break_next(kind, "patch")
    bucket.refresh("beat", {"owner": "2b"}, generation=second.generation)
    assert bucket.stat("beat").metadata == {"owner": "2b"}


@pytest.mark.parametrize("kind", LOST)
def test_a_won_move_whose_answer_was_lost_finds_no_source(
    fake: FakeGcs, bucket: GcsBucket, kind: FaultKind
) -> None:
    info = bucket.create("a", b"1")
    fake.break_next(kind, "move")
    with pytest.raises(ObjectNotFoundError):
        bucket.move("a", "b", generation=info.generation)
    assert bucket.read("b", limit=9) == b"1"


@pytest.mark.parametrize("kind", LOST)
def test_the_same_where_the_store_looks_at_the_destination_first(kind: FaultKind) -> None:
    with FakeGcs([BUCKET], destination_first=True) as fake, fresh_bucket(fake) as bucket:
        info = bucket.create("a", b"1")
        fake.break_next(kind, "move")
        with pytest.raises(ObjectNotFoundError):
            bucket.move("a", "b", generation=info.generation)
        assert [item["status"] for item in fake.requests if item["operation"] == "move"][-1] == 412


def test_a_move_onto_an_object_and_one_of_another_generation_differ(bucket: GcsBucket) -> None:
    info = bucket.create("a", b"1")
    bucket.create("b", b"2")
    with pytest.raises(PreconditionFailedError):
        bucket.move("a", "b", generation=info.generation + 1)
    with pytest.raises(ObjectExistsError):
        bucket.move("a", "b", generation=info.generation)


def test_an_object_that_came_and_went_leaves_a_creation_unknown(
    fake: FakeGcs, bucket: GcsBucket
) -> None:
    bucket.create("a", b"1")
    fake.break_next(FaultKind.STATUS, "get", status=404)
    with pytest.raises(StoreUnavailableError):
        bucket.create("a", b"2")


def test_every_move_has_both_preconditions_and_nothing_is_copied(
    fake: FakeGcs, bucket: GcsBucket
) -> None:
    info = bucket.create("a", b"1")
    bucket.move("a", "b", generation=info.generation)
    (move,) = [item for item in fake.requests if item["operation"] == "move"]
    assert move["query"]["ifGenerationMatch"] == "0"
    assert move["query"]["ifSourceGenerationMatch"] == str(info.generation)
    assert not {"copy", "rewrite", "get-bucket"} & {item["operation"] for item in fake.requests}


Operation = Callable[[GcsBucket], object]
OPERATIONS: dict[str, Operation] = {
    "list": lambda bucket: bucket.list(""),
    "get": lambda bucket: bucket.stat("a"),
    "download": lambda bucket: bucket.read("a", limit=9),
    "upload": lambda bucket: bucket.create("new", b"1"),
    "move": lambda bucket: bucket.move("a", "b", generation=bucket.stat("a").generation),
    "delete": lambda bucket: bucket.delete("a", generation=bucket.stat("a").generation),
    "patch": lambda bucket: bucket.refresh("a", {}, generation=bucket.stat("a").generation),
}


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE, FaultKind.STATUS])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_passing_fault_is_not_seen(
    fake: FakeGcs, bucket: GcsBucket, operation: str, kind: FaultKind
) -> None:
    bucket.create("a", b"")
    fake.break_next(kind, operation, times=2, status=429)
    OPERATIONS[operation](bucket)


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE, FaultKind.STATUS])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_lasting_fault_ends_in_bounded_time(
    fake: FakeGcs, operation: str, kind: FaultKind
) -> None:
    with fresh_bucket(fake, deadline=0.05) as bucket:
        fake.break_next(kind, operation, skip=0, times=10**6)
        if operation != "upload":
            make = make_bucket(fake.url, bucket.prefix)
            make.create("a", b"1")
            make.close()
        with pytest.raises(StoreUnavailableError):
            OPERATIONS[operation](bucket)


@pytest.mark.parametrize("operation", ["list", "get", "download", "patch"])
def test_an_answer_that_drips_is_given_up_and_asked_for_again(
    fake: FakeGcs, operation: str
) -> None:
    with fresh_bucket(fake, answer_limit=0.03) as bucket:
        bucket.create("a", b"0123456789")
        # Some seconds or minutes in all; ended by the client that hangs up.
        fake.break_next(FaultKind.DRIP, operation, seconds=0.02)
        OPERATIONS[operation](bucket)
        served = [item["operation"] for item in fake.requests if item["status"] != 404]
        assert served.count(operation) >= 2


def test_nobody_listens() -> None:
    bucket = make_bucket("http://127.0.0.1:9", "q", deadline=0.05)
    with pytest.raises(StoreUnavailableError):
        bucket.list("")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_missing_right_is_named(fake: FakeGcs, bucket: GcsBucket, operation: str) -> None:
    bucket.create("a", b"1")
    client = make_bucket(fake.url, bucket.prefix).client
    impatient = GcsBucket(client, BUCKET, bucket.prefix, patience=timedelta(0))
    fake.break_next(FaultKind.STATUS, operation, status=403)
    with pytest.raises(FixConfigurationError) as caught:
        OPERATIONS[operation](impatient)
    assert caught.value.code == "bucket-forbidden"
    assert "storage.objects." in caught.value.remedy


def test_an_account_that_is_not_known(fake: FakeGcs, bucket: GcsBucket) -> None:
    fake.break_next(FaultKind.STATUS, "list", status=401, times=9)
    with pytest.raises(FixConfigurationError) as caught:
        bucket.list("")
    assert caught.value.code == "bucket-credentials"


def test_a_bucket_that_is_missing(fake: FakeGcs) -> None:
    bucket = GcsBucket(make_bucket(fake.url, "q").client, "not-ours", "q")
    attempts: list[Operation] = [
        lambda b: b.list(""),
        lambda b: b.create("a", b""),
        lambda b: b.stat("a"),
    ]
    for attempt in attempts:
        with pytest.raises(FixConfigurationError) as caught:
            attempt(bucket)
        assert caught.value.code == "bucket-missing"
    bucket.close()


def test_an_address_with_a_folder_and_one_without(
    fake: FakeGcs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
    with caplog.at_level(logging.WARNING):
        bucket = open_bucket(f"gs://{BUCKET}/a/b/")
    assert isinstance(bucket, GcsBucket)
    assert bucket.describe() == f"gs://{BUCKET}/a/b at {fake.url}"
    assert fake.url in caplog.text
    bucket.create("c", b"1")
    bucket.close()
    whole = open_bucket(f"gs://{BUCKET}")
    assert isinstance(whole, GcsBucket)
    assert "a/b/c" in [info.name for info in whole.list("")]
    whole.close()


@pytest.mark.parametrize(
    "address",
    [
        "gs://",
        "gs://B",
        "gs://bucket/../x",
        "gs://bucket/a//b",
        "gs://bucket/a?b",
        "gs://me:secret@bucket/x",
        "s3://bucket/x",
    ],
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        open_bucket(address)
    assert caught.value.code == "bucket-address"
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "host",
    [
        "http://10.0.0.7:4443",
        "https://gcs.example.org",
        "http://:secret@127.0.0.1:9000",
        "127.0.0.1:9000",
        "",
    ],
)
def test_a_left_over_emulator_is_refused_unless_it_is_here(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", host)
    with pytest.raises(FixConfigurationError) as caught:
        open_bucket(f"gs://{BUCKET}/q")
    assert caught.value.code == "bucket-emulator"
    assert "STORAGE_EMULATOR_HOST" in caught.value.remedy


def test_nobody_is_signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)

    def refuse(**_: object) -> None:
        raise auth.DefaultCredentialsError("key: hunter2")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(storage, "Client", refuse)
    with pytest.raises(FixConfigurationError) as caught:
        open_bucket(f"gs://{BUCKET}/q")
    assert caught.value.code == "bucket-credentials"
    assert_says_nothing_of(caught.value, "hunter2")


def test_a_key_that_was_withdrawn(fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_bucket(fake) as bucket:

        def refuse(*_: object, **__: object) -> None:
            raise auth.RefreshError("invalid_grant", {"token": "hunter2"})  # type: ignore[no-untyped-call]

        monkeypatch.setattr(bucket.client, "list_blobs", refuse)
        with pytest.raises(FixConfigurationError) as caught:
            bucket.list("")
        assert caught.value.code == "bucket-credentials"
        assert_says_nothing_of(caught.value, "hunter2")


def assert_says_nothing_of(error: SegRelayError, secret: str) -> None:
    assert secret not in json.dumps([error.message, error.remedy, error.code])
    assert error.__suppress_context__
