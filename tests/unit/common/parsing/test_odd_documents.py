"""One odd object in the bucket: named once, passed over, and nobody else is stopped by it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from infra.fake_gcs import FakeGcs
from infra.fuzz_documents import MANIFEST, RESULT
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.errors import SegRelayError, StoreUnavailableError
from segrelay.manifest import (
    AttemptOutcome,
    AttemptRecord,
    parse_job_manifest,
    parse_result,
    utc_now,
)
from segrelay.parsing.documents import read_document
from segrelay.parsing.json_reader import JsonLimits
from segrelay.queue import AgentQueue, Reaper, SiteQueue, scan
from segrelay.queue.claims import LONGEST_WAIT
from segrelay.queue.lease import Heartbeat
from segrelay.queue.reaper import FREE_LOSSES, LOSSES_AT_ONCE
from segrelay.queue.records import read_attempts
from tests.support.buckets.gcs import make_bucket
from tests.support.jobs import make_identity, make_manifest
from tests.support.servers.raw_server import answer, raw_server

ODD_HEARTBEATS = {
    "deep": "[" * 3500,
    "nested": "[" * 1000 + "]" * 1000,
    "half a character": '{"state": "\\ud800"}',
    "a huge number": '{"identity": {"pid": ' + "9" * 5000 + "}}",
    "no number": '{"state": NaN}',
    "a list": "[]",
    "nothing": "null",
    "empty": "",
    "a page": "<html></html>",
}
GOOD = Heartbeat(identity=make_identity(), state="listening", version="1", profiles=("demo",))


@pytest.fixture(params=["directory", "gcs"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bucket]:
    if request.param == "directory":
        yield LocalBucket(tmp_path)
        return
    with FakeGcs() as fake:
        found = make_bucket(fake.url, "queue")
        yield found
        found.close()


def test_odd_heartbeats_stop_nobody_and_are_named_once(
    bucket: Bucket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segrelay.queue.view._named", set[str]())
    for number, text in enumerate(ODD_HEARTBEATS.values()):
        bucket.take_over(names.agent_object(f"odd-{number}"), {"beat": text}, generation=0)
    bucket.take_over(names.agent_object("good"), GOOD.to_metadata(), generation=0)
    SiteQueue(bucket).submit(make_manifest())
    with caplog.at_level(logging.WARNING, "segrelay.queue"):
        for _ in range(3):
            view = scan(bucket)
            assert set(view.agents) == {"good"}
            assert len(view.pending) == 1
    said = [record.getMessage() for record in caplog.records if "heartbeat of" in record.msg]
    assert len(said) == len(ODD_HEARTBEATS), said
    assert not any("[[" in line for line in said)


def test_the_claims_of_an_agent_without_a_readable_heartbeat_come_back(bucket: Bucket) -> None:
    name = SiteQueue(bucket).submit(make_manifest())
    queue = AgentQueue(bucket, "odd-7", now=utc_now)
    assert queue.claim(scan(bucket).pending[0]) is not None
    bucket.take_over(names.agent_object("odd-7"), {"beat": "[" * 3500}, generation=0)
    reaper = Reaper(bucket, "lab-2", now=utc_now, is_dead=lambda _: False)
    assert len(reaper.reap(scan(bucket))) == 1
    (record,) = read_attempts(bucket, name.next_claim)
    assert (record.outcome, record.counts) == (AttemptOutcome.LOST, True)


@pytest.mark.parametrize(
    "body",
    [
        *(b"null", b"[]", b"", b"[" * 3500, b"<html></html>"),
        *(b'{"items": 7}', b'{"items": [7]}', b'{"items": [{}]}', b'{"items": [{"name": 7}]}'),
        b'{"items": null, "nextPageToken": {}}',
    ],
)
def test_a_list_that_is_none_ends_no_process(body: bytes) -> None:
    headers = "Content-Type: application/json\r\n"
    with raw_server(answer(body, headers=headers)) as server:
        found = make_bucket(server.url, "queue", deadline=0.2, answer_limit=1.0)
        with pytest.raises(SegRelayError) as raised:
            found.list(names.JOBS)
        found.close()
    assert isinstance(raised.value, StoreUnavailableError) or "bucket" in raised.value.code


def test_a_chatty_result_is_cut_and_not_refused() -> None:
    chatty = RESULT | {
        "warnings": ["w" * 100_000] * 3 + ["x"] * 500,
        "author": "a" * 900,
        "provenance": RESULT["provenance"]
        | {
            "versions": {f"package-{n}": "1" * 900 for n in range(300)},
            "stage_seconds": {f"stage-{n}": 1.0 for n in range(300)},
        },
    }
    small = RESULT | {"warnings": chatty["warnings"][3:]}
    assert parse_result(json.dumps(small).encode()).warnings == ("x",) * 50
    with pytest.raises(SegRelayError, match="characters"):
        parse_result(json.dumps(chatty).encode())
    chatty["warnings"] = ["w" * 10_000] * 60
    found = parse_result(json.dumps(chatty).encode())
    assert found.warnings == ("w" * 500,) * 50
    assert found.provenance is not None
    assert (len(found.provenance.versions), len(found.provenance.stage_seconds)) == (50, 50)
    assert {len(text) for text in found.provenance.versions.values()} == {100}
    assert len(found.author) == 40
    assert parse_result(found.to_json()) == found


@pytest.mark.parametrize("number", ["NaN", "Infinity", "inf", "1e999"])
def test_a_number_that_is_none_is_refused_in_whatever_form(number: str) -> None:
    text = json.dumps(RESULT).replace('"volume_ml": 1.5', f'"volume_ml": "{number}"')
    with pytest.raises(SegRelayError):
        parse_result(text.encode())


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", 1e300])
def test_a_time_at_the_end_of_the_calendar_is_refused(time: object) -> None:
    with pytest.raises(SegRelayError, match="finished_at"):
        parse_result(json.dumps(RESULT | {"finished_at": time}).encode())


def test_an_error_names_the_field_and_never_the_value() -> None:
    for change in (
        {"profile": "Zebra^Patient"},
        {"priority": "Zebra^Patient"},
        {"Zebra^Patient": 1},
        {"series": [{"Zebra^Patient": "Zebra^Patient"}]},
        {"submitted_at": "Zebra^Patient"},
    ):
        with pytest.raises(SegRelayError) as raised:
            parse_job_manifest(json.dumps(MANIFEST | change).encode())
        assert "Zebra" not in raised.value.message


def test_texts_that_no_store_holds_are_made_storable_when_they_are_written() -> None:
    record = AttemptRecord(
        job_id=MANIFEST["job_id"],
        attempt=1,
        agent="lab-1",
        outcome=AttemptOutcome.FAILED,
        code="worker-error",
        reason="file \udcff\0 " + "x" * 5000,
        started=True,
        recorded_at=utc_now(),
    )
    limits = JsonLimits(size_bytes=10**5)
    assert read_document(AttemptRecord, record.to_json(), limits) == record
    assert record.reason.startswith("file ? x")


def test_a_record_that_asks_for_a_thousand_years_holds_nothing_back(tmp_path: Path) -> None:
    bucket = LocalBucket(tmp_path)
    name = SiteQueue(bucket).submit(make_manifest())
    queue = AgentQueue(bucket, "lab-1", now=utc_now)
    for wait, may in ((timedelta(minutes=5), False), (timedelta(days=2000), True)):
        job = scan(bucket).pending[0]
        claim = queue.claim(job)
        assert claim is not None
        queue.hand_back(claim, SegRelayError("x"), started=False, wait=wait)
        assert queue.may_claim(scan(bucket).pending[0]) is may
    assert timedelta(days=1) > LONGEST_WAIT
    assert name.job_id


def test_a_job_that_is_lost_again_and_again_before_its_work_comes_to_an_end(tmp_path: Path) -> None:
    bucket = LocalBucket(tmp_path)
    name = SiteQueue(bucket).submit(make_manifest())
    queue = AgentQueue(bucket, "lab-1", now=utc_now)
    reaper = Reaper(bucket, "lab-1", now=utc_now, is_dead=lambda _: False)
    pauses = []
    for number in range(1, FREE_LOSSES + 4):
        claim = queue.claim(scan(bucket).pending[0])
        assert claim is not None
        assert claim.attempt == number
        reaper.recover_own_claims(scan(bucket), GOOD, keep=())
        last = read_attempts(bucket, claim.name)[-1]
        assert last.counts is (number > FREE_LOSSES)
        pauses.append(last.not_before)
    assert pauses[:LOSSES_AT_ONCE] == [None] * LOSSES_AT_ONCE
    assert all(pauses[LOSSES_AT_ONCE:])
    result = parse_result(bucket.read(names.result_object(name.job_id), limit=10**6))
    assert result.failure is not None
    assert result.failure.code == "attempts-used-up"
    assert not scan(bucket).pending
