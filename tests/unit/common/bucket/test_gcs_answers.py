"""What a server before the cloud bucket answers is never taken for the bucket's own word."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from infra.fake_gcs import FakeGcs
from infra.fake_gcs.messages import Answer, Request
from segrelay.bucket.gcs import GcsBucket
from segrelay.errors import (
    FixConfigurationError,
    ObjectNotFoundError,
    SegRelayError,
    StoreUnavailableError,
)
from segrelay.queue import scan
from tests.support.buckets.gcs import BUCKET, FIRST_PAUSE, make_bucket, make_client
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy

PAGE = b"<!DOCTYPE html><title>Sign in</title><p>Please sign in"
HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}

OPERATIONS: dict[str, Callable[[GcsBucket], object]] = {
    "list": lambda bucket: bucket.list("v1/"),
    "stat": lambda bucket: bucket.stat("v1/there"),
    "read": lambda bucket: bucket.read("v1/there", limit=1000),
    "create": lambda bucket: bucket.create("v1/new", b"1"),
    "replace": lambda bucket: bucket.replace("v1/there", b"1"),
    "move": lambda bucket: bucket.move("v1/there", "v1/moved", generation=1),
    "delete": lambda bucket: bucket.delete("v1/there", generation=1),
    "take_over": lambda bucket: bucket.take_over("v1/beacon", {"a": "b"}, generation=0),
    "beat": lambda bucket: bucket.refresh("v1/there", {"a": "b"}, generation=1),
}

DEEP = b"[" * 50_000

ANSWERS = {
    "page": Answer(headers=HTML, body=PAGE),
    "empty": Answer(),
    "object": Answer(headers=JSON, body=b"{}"),
    "null": Answer(headers=JSON, body=b"null"),
    "list": Answer(headers=JSON, body=b"[]"),
    "number": Answer(headers=JSON, body=b"7"),
    "items are a number": Answer(headers=JSON, body=b'{"items": 7}'),
    "items of the kind are a number": Answer(
        headers=JSON, body=b'{"kind": "storage#objects", "items": 7}'
    ),
    "another service": Answer(headers=JSON, body=b'{"error": "login required", "status": "ok"}'),
    "deep": Answer(headers=JSON, body=DEEP),
    "not UTF-8": Answer(headers=JSON, body=b"\xff\xfe\x00"),
    "a bomb": Answer(
        headers={**JSON, "Content-Encoding": "gzip"}, body=gzip.compress(bytes(80_000_000))
    ),
    "401": Answer(status=401, headers=HTML, body=PAGE),
    "403": Answer(status=403, headers=HTML, body=PAGE),
    "404": Answer(status=404, headers=HTML, body=PAGE),
    "405": Answer(status=405, headers=HTML, body=PAGE),
    "407": Answer(status=407, headers=HTML, body=PAGE),
    "410": Answer(status=410, headers=HTML, body=PAGE),
    "412": Answer(status=412, headers=HTML, body=PAGE),
    "413": Answer(status=413, headers=HTML, body=PAGE),
    "416": Answer(status=416, headers=HTML, body=PAGE),
    "451": Answer(status=451, headers=HTML, body=PAGE),
    "499": Answer(status=499, headers=HTML, body=PAGE),
    "526": Answer(status=526, headers=HTML, body=PAGE),
}


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs() as fake:
        yield fake


@pytest.fixture
def proxy(fake: FakeGcs) -> Iterator[FaultProxy]:
    with fault_proxy(fake.url) as proxy:
        yield proxy


@pytest.fixture
def bucket(proxy: FaultProxy) -> Iterator[GcsBucket]:
    bucket = make_bucket(proxy.url, "q", deadline=0.05, answer_limit=5.0)
    for info in bucket.list(""):
        bucket.delete(info.name, generation=info.generation)
    bucket.create("v1/there", b"content")
    try:
        yield bucket
    finally:
        proxy.instead = lambda _request: None
        bucket.close()


SHORT = ("page", "object", "another service", "404", "412")
CASES = [
    pytest.param(
        operation, answer, id=f"{operation} {name}", marks=() if name in SHORT else pytest.mark.long
    )
    for operation in OPERATIONS
    for name, answer in ANSWERS.items()
    # The client reads any JSON, and nothing, as done; the object stays, which harms nobody.
    if (operation, answer.status, answer.headers) != ("delete", 200, JSON)
    if (operation, name) != ("delete", "empty")
]


@pytest.mark.parametrize(("operation", "answer"), CASES)
def test_another_servers_answer_is_the_store_away(
    proxy: FaultProxy, bucket: GcsBucket, operation: str, answer: Answer
) -> None:
    proxy.instead = lambda _request: answer
    with pytest.raises(StoreUnavailableError):
        OPERATIONS[operation](bucket)
    proxy.instead = lambda _request: None
    assert bucket.read("v1/there", limit=1000) == b"content"


def test_a_page_in_place_of_a_content_is_no_content(proxy: FaultProxy, bucket: GcsBucket) -> None:
    """Also one that has the metadata right: the download alone is replaced."""

    def page_for_downloads(request: Request) -> Answer | None:
        return Answer(headers=HTML, body=PAGE) if request.query.get("alt") == "media" else None

    proxy.instead = page_for_downloads
    with pytest.raises(StoreUnavailableError, match="a page, or another service's answer"):
        bucket.read("v1/there", limit=1000)


BEACON = {
    "name": "q/v1/jobs/agents/lab-1.json",
    "generation": "17",
    "updated": "2026-03-01T12:00:00.123Z",
    "size": "0",
    "metadata": {"beat": "{}"},
}
_ODD_VALUES: tuple[object, ...] = (None, 7, True, "x", [], {}, [[]])


@pytest.mark.parametrize("field", BEACON)
@pytest.mark.parametrize("value", [*_ODD_VALUES, {"beat": 7}, {"beat": {"a": 1}}, {"beat": None}])
def test_an_odd_field_of_a_listed_object_raises_no_foreign_error(
    proxy: FaultProxy, bucket: GcsBucket, field: str, value: object
) -> None:
    """Also where a heartbeat is read from it; one that is believed has the types that it says."""
    page = {"kind": "storage#objects", "items": [{**BEACON, field: value}]}
    proxy.instead = lambda _request: Answer(headers=JSON, body=json.dumps(page).encode())
    try:
        (info,) = bucket.list("v1/jobs/")
        scan(bucket)
    except StoreUnavailableError:
        return
    texts = [info.name, *(info.metadata or {}).keys(), *(info.metadata or {}).values()]
    assert all(isinstance(text, str) for text in texts)
    assert info.updated.tzinfo is not None


def test_a_content_with_other_bytes_than_its_checksum_is_none(
    proxy: FaultProxy, bucket: GcsBucket
) -> None:
    headers = {"X-Goog-Generation": "1", "X-Goog-Hash": "crc32c=AAAAAA=="}
    proxy.instead = lambda _request: Answer(headers=headers, body=b"{}")
    with pytest.raises(StoreUnavailableError):
        bucket.read("v1/there", limit=1000)


def test_a_page_for_an_absent_object_does_not_make_it_absent(
    proxy: FaultProxy, bucket: GcsBucket
) -> None:
    with pytest.raises(ObjectNotFoundError):
        bucket.read("v1/absent", limit=10)
    proxy.instead = lambda _request: ANSWERS["404"]
    with pytest.raises(StoreUnavailableError):
        bucket.read("v1/absent", limit=10)


def test_the_stores_words_for_an_absent_object_are_believed(
    proxy: FaultProxy, bucket: GcsBucket
) -> None:
    """As the real store answers a download: in text."""
    text = Answer(status=404, headers=HTML, body=b"No such object: segrelay/q/v1/absent")
    proxy.instead = lambda _request: text
    with pytest.raises(ObjectNotFoundError):
        bucket.read("v1/absent", limit=10)


@pytest.mark.parametrize(("status", "code"), [(401, "credentials"), (403, "forbidden")])
def test_a_refusal_is_final_from_the_start_and_when_it_lasts(
    proxy: FaultProxy, status: int, code: str
) -> None:
    def connect(patience: timedelta) -> GcsBucket:
        return GcsBucket(
            make_client(proxy.url),
            BUCKET,
            "q",
            deadline=0.05,
            first_pause=FIRST_PAUSE,
            patience=patience,
        )

    refusal = Answer(
        status=status, headers=JSON, body=json.dumps({"error": {"code": status}}).encode()
    )
    for patience, is_answered, kind in (
        (timedelta(hours=1), False, FixConfigurationError),
        (timedelta(hours=1), True, StoreUnavailableError),
        (timedelta(0), True, FixConfigurationError),
    ):
        bucket = connect(patience)
        proxy.instead = lambda _request: None
        if is_answered:
            bucket.list("")
        proxy.instead = lambda _request: refusal
        with pytest.raises(SegRelayError) as caught:
            bucket.list("")
        assert (type(caught.value), caught.value.code) == (kind, f"bucket-{code}")
        bucket.close()


FORBIDDEN = "does not have storage.objects access to the Google Cloud Storage object."


@pytest.mark.parametrize(
    ("text", "was_done", "kind"),
    [
        (FORBIDDEN, False, FixConfigurationError),
        (FORBIDDEN, True, StoreUnavailableError),
        (f"{FORBIDDEN} (or it may not exist)", True, FixConfigurationError),
    ],
)
def test_a_right_that_the_account_never_had_is_final_at_once(
    proxy: FaultProxy, text: str, was_done: bool, kind: type[SegRelayError]
) -> None:
    """In the store's own words; a page with the same status is transient."""
    with make_client(proxy.url) as client:
        bucket = GcsBucket(client, BUCKET, "q", deadline=0.05, first_pause=FIRST_PAUSE)
        proxy.instead = lambda _request: None
        bucket.list("")
        if was_done:
            bucket.replace("v1/once", b"1")
            bucket.stat("v1/once")
        document = {"error": {"code": 403, "message": text, "errors": [{"reason": "forbidden"}]}}
        body = json.dumps(document).encode()
        proxy.instead = lambda _request: Answer(status=403, headers=JSON, body=body)
        with pytest.raises(SegRelayError) as caught:
            bucket.stat("v1/once")
        assert (type(caught.value), caught.value.code) == (kind, "bucket-forbidden")
        proxy.instead = lambda _request: ANSWERS["403"]
        with pytest.raises(StoreUnavailableError):
            bucket.stat("v1/once")


def test_credentials_are_read_again_when_they_are_refused(proxy: FaultProxy) -> None:
    """A key file that was replaced: the next try has the new one."""
    made: list[int] = []

    def sign_in() -> object:
        made.append(1)
        return make_client(proxy.url)

    bucket = GcsBucket(
        make_client(proxy.url),
        BUCKET,
        "q",
        deadline=0.05,
        first_pause=FIRST_PAUSE,
        sign_in=sign_in,
    )
    bucket.list("")
    proxy.instead = lambda _request: Answer(status=401, headers=HTML, body=PAGE)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            bucket.list("")
    assert len(made) == 1, "not at every try"
    proxy.instead = lambda _request: None
    assert bucket.list("nothing/") == []
    bucket.close()
