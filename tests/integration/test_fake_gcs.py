"""The fake refuses what Google Cloud Storage refuses, and serves what it serves.

``REFUSALS`` is the table of requests that the real store refuses. Its first part is said with
Google's own client, the rest, which the client cannot say, with raw requests. Rows that a
second emulator is known to check are run against it too, where it is installed.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions as api
from google.cloud import storage  # type: ignore[import-untyped]

from infra.fake_gcs import FakeGcs, FaultKind
from infra.fake_gcs.listing import glob_pattern
from infra.fake_gcs.uploads import split_multipart
from tests.support.gcs import BUCKET, make_client
from tests.support.other_gcs import other_emulator

ROOT = Path(__file__).resolve().parents[2]

WRONG = 12345
"""A generation that no object has."""

CHUNK = 256 * 1024


@dataclass
class Shop:
    """One server with a client and a few objects under a prefix of their own."""

    url: str
    client: storage.Client
    root: str

    @property
    def bucket(self) -> storage.Bucket:
        return self.client.bucket(BUCKET)

    def blob(self, name: str) -> storage.Blob:
        return self.bucket.blob(f"{self.root}/{name}")

    def put(self, name: str, data: bytes = b"x") -> storage.Blob:
        blob = self.blob(name)
        blob.upload_from_string(data)
        return blob

    def raw(self, method: str, path: str, **options: Any) -> int:
        """The status of a request that the client cannot express."""
        return requests.request(method, f"{self.url}{path}", timeout=30, **options).status_code

    def object_path(self, name: str) -> str:
        return f"/storage/v1/b/{BUCKET}/o/" + f"{self.root}/{name}".replace("/", "%2F")


def status_of(attempt: Callable[[], object]) -> int:
    """200, or the status with which the client's request was refused."""
    try:
        answer = attempt()
    except api.GoogleAPICallError as error:
        return int(error.code or 0)
    return answer if isinstance(answer, int) else 200


def resumable(shop: Shop, name: str, generation: int) -> object:
    blob = shop.blob(name)
    blob.chunk_size = CHUNK
    return blob.upload_from_string(b"x" * (CHUNK + 1), if_generation_match=generation)


def overtaken_resumable(shop: Shop) -> int:
    """The object appears after a conditional resumable upload has begun."""
    begin = requests.post(
        f"{shop.url}/upload/storage/v1/b/{BUCKET}/o",
        params={"uploadType": "resumable", "name": f"{shop.root}/new", "ifGenerationMatch": "0"},
        timeout=30,
    )
    shop.put("new")
    return requests.put(begin.headers["Location"], data=b"late", timeout=30).status_code


def going_back_in_custom_time(shop: Shop, later: datetime | None) -> object:
    blob = shop.put("timed")
    blob.custom_time = datetime(2026, 5, 1, tzinfo=timezone.utc)
    blob.patch()
    blob.custom_time = later
    return blob.patch()


def move(shop: Shop, source: str, target: str, **conditions: int) -> object:
    return shop.bucket.move_blob(shop.blob(source), f"{shop.root}/{target}", **conditions)


def copy(shop: Shop, source: str, target: str, **conditions: int) -> object:
    return shop.bucket.copy_blob(
        shop.blob(source), shop.bucket, f"{shop.root}/{target}", **conditions
    )


def rewrite(shop: Shop, source: str, target: str, **conditions: int) -> object:
    return shop.blob(target).rewrite(shop.blob(source), **conditions)


def second_move(shop: Shop) -> object:
    move(shop, "a", "first", if_generation_match=0)
    return move(shop, "a", "second", if_generation_match=0)


def patch(shop: Shop, name: str, **conditions: int) -> object:
    blob = shop.blob(name)
    blob.metadata = {"k": "v"}
    return blob.patch(**conditions)


def put(shop: Shop, name: str, **conditions: int) -> object:
    return shop.blob(name).upload_from_string(b"new", **conditions)


Row = tuple[str, Callable[[Shop], object], int]

CREATION: list[Row] = [
    ("create twice", lambda s: put(s, "a", if_generation_match=0), 412),
    ("overwrite a wrong generation", lambda s: put(s, "a", if_generation_match=WRONG), 412),
    ("overwrite nothing", lambda s: put(s, "none", if_generation_match=WRONG), 412),
]
"""Multipart uploads: the other emulator checks these as well."""

REFUSALS: list[Row] = [
    *CREATION,
    ("overwrite a wrong metageneration", lambda s: put(s, "a", if_metageneration_match=9), 412),
    ("overwrite only if absent is false", lambda s: put(s, "n", if_generation_not_match=0), 412),
    ("resumable create twice", lambda s: resumable(s, "a", 0), 412),
    ("resumable overwrite wrong generation", lambda s: resumable(s, "a", WRONG), 412),
    ("resumable create overtaken", overtaken_resumable, 412),
    ("get a wrong generation", lambda s: s.blob("a").reload(if_generation_match=WRONG), 412),
    ("get what is not there", lambda s: s.blob("none").reload(), 404),
    (
        "download a wrong generation",
        lambda s: s.blob("a").download_as_bytes(if_generation_match=WRONG),
        412,
    ),
    ("patch a wrong generation", lambda s: patch(s, "a", if_generation_match=WRONG), 412),
    ("patch a wrong metageneration", lambda s: patch(s, "a", if_metageneration_match=9), 412),
    ("patch what is not there", lambda s: patch(s, "none", if_generation_match=WRONG), 404),
    ("delete a wrong generation", lambda s: s.blob("a").delete(if_generation_match=WRONG), 412),
    ("delete a wrong metageneration", lambda s: s.blob("a").delete(if_metageneration_match=9), 412),
    ("delete what is not there", lambda s: s.blob("none").delete(), 404),
    ("copy onto an object", lambda s: copy(s, "a", "b", if_generation_match=0), 412),
    ("copy a wrong source", lambda s: copy(s, "a", "c", if_source_generation_match=WRONG), 412),
    ("rewrite onto an object", lambda s: rewrite(s, "a", "b", if_generation_match=0), 412),
    (
        "rewrite a wrong source",
        lambda s: rewrite(s, "a", "c", if_source_generation_match=WRONG),
        412,
    ),
    ("move onto an object", lambda s: move(s, "a", "b", if_generation_match=0), 412),
    ("move a wrong source", lambda s: move(s, "a", "c", if_source_generation_match=WRONG), 412),
    (
        "move a wrong source metageneration",
        lambda s: move(s, "a", "c", if_source_metageneration_match=9),
        412,
    ),
    ("move twice", second_move, 404),
    ("move onto itself", lambda s: move(s, "a", "a"), 400),
    (
        "custom time goes back",
        lambda s: going_back_in_custom_time(s, datetime(2026, 4, 1, tzinfo=timezone.utc)),
        400,
    ),
    ("custom time vanishes", lambda s: going_back_in_custom_time(s, None), 400),
    ("a foreign bucket", lambda s: s.client.bucket("not-ours").blob("a").reload(), 404),
    ("list a foreign bucket", lambda s: list(s.client.list_blobs("not-ours")), 404),
    ("too much metadata", lambda s: too_much_metadata(s), 400),
    ("a range past the end", lambda s: s.blob("a").download_as_bytes(start=99), 416),
    ("a name with a line break", lambda s: s.put("a\nb"), 400),
    # From here on: what the client cannot say.
    (
        "simple upload, create twice",
        lambda s: s.raw(
            "POST",
            f"/upload/storage/v1/b/{BUCKET}/o",
            params={"uploadType": "media", "name": f"{s.root}/a", "ifGenerationMatch": "0"},
            data=b"x",
        ),
        412,
    ),
    (
        "unchanged since",
        lambda s: s.raw(
            "GET",
            s.object_path("a"),
            params={"ifGenerationNotMatch": str(generation_of(s, "a"))},
        ),
        304,
    ),
    (
        "a page that is none",
        lambda s: s.raw("GET", f"/storage/v1/b/{BUCKET}/o", params={"pageToken": "%%%"}),
        400,
    ),
    (
        "a generation that is no number",
        lambda s: s.raw("DELETE", s.object_path("a"), params={"ifGenerationMatch": "new"}),
        400,
    ),
    (
        "content that does not fit its checksum",
        lambda s: s.raw(
            "POST",
            f"/upload/storage/v1/b/{BUCKET}/o",
            params={"uploadType": "multipart"},
            headers={"Content-Type": "multipart/related; boundary=B"},
            data=b"--B\r\nContent-Type: application/json\r\n\r\n"
            + json.dumps({"name": f"{s.root}/bad", "crc32c": "AAAAAA=="}).encode()
            + b"\r\n--B\r\nContent-Type: text/plain\r\n\r\nhello\r\n--B--",
        ),
        400,
    ),
    ("an unknown method", lambda s: s.raw("POST", s.object_path("a")), 405),
]


def too_much_metadata(shop: Shop) -> object:
    blob = shop.blob("heavy")
    blob.metadata = {"k": "v" * 9000}
    return blob.upload_from_string(b"x")


def generation_of(shop: Shop, name: str) -> int:
    blob = shop.blob(name)
    blob.reload()
    return int(blob.generation)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET]) as fake:
        yield fake


@pytest.fixture(scope="module")
def client(fake: FakeGcs) -> Iterator[storage.Client]:
    with make_client(fake.url) as client:
        yield client


@pytest.fixture
def shop(fake: FakeGcs, client: storage.Client) -> Shop:
    shop = Shop(fake.url, client, secrets.token_hex(4))
    shop.put("a", b"1")
    shop.put("b", b"2")
    return shop


@pytest.mark.parametrize(("what", "attempt", "status"), REFUSALS, ids=[r[0] for r in REFUSALS])
def test_what_the_real_store_refuses(
    shop: Shop, what: str, attempt: Callable[[Shop], object], status: int
) -> None:
    assert status_of(lambda: attempt(shop)) == status, what


def test_a_refused_change_changes_nothing(shop: Shop) -> None:
    before = [(b.name, b.generation, b.metageneration) for b in shop.bucket.list_blobs()]
    for attempt in (
        lambda: put(shop, "a", if_generation_match=0),
        lambda: move(shop, "a", "b", if_generation_match=0),
        lambda: move(shop, "a", "c", if_source_generation_match=WRONG),
        lambda: patch(shop, "a", if_metageneration_match=9),
        lambda: shop.blob("a").delete(if_generation_match=WRONG),
    ):
        assert status_of(attempt) == 412
    assert [(b.name, b.generation, b.metageneration) for b in shop.bucket.list_blobs()] == before


def test_the_same_requests_are_let_through_on_the_right_conditions(shop: Shop) -> None:
    blob = shop.blob("a")
    blob.reload()
    generation = blob.generation
    assert blob.download_as_bytes(if_generation_match=generation) == b"1"
    blob.metadata = {"k": "v"}
    blob.patch(if_generation_match=generation, if_metageneration_match=1)
    assert (blob.generation, blob.metageneration) == (generation, 2)
    moved = shop.bucket.move_blob(
        blob,
        f"{shop.root}/moved",
        if_generation_match=0,
        if_source_generation_match=generation,
        if_source_metageneration_match=2,
    )
    assert moved.generation > generation
    assert (moved.metageneration, moved.metadata) == (1, {"k": "v"})
    assert moved.download_as_bytes() == b"1"
    again = shop.put("moved", b"3")
    shop.blob("moved").delete(if_generation_match=again.generation)
    assert not shop.blob("moved").exists()


def test_patching_merges_metadata_and_null_unsets(shop: Shop) -> None:
    blob = shop.blob("a")
    blob.metadata = {"one": "1", "two": "2"}
    blob.patch()
    blob.metadata = {"two": None, "three": "3"}
    blob.patch()
    assert blob.metadata == {"one": "1", "three": "3"}


def test_times_move_with_every_change_and_generations_never_come_back(shop: Shop) -> None:
    blob = shop.put("c")
    created, generation = blob.time_created, blob.generation
    blob.metadata = {"k": "v"}
    blob.patch()
    assert blob.updated >= created == blob.time_created
    blob.delete()
    assert shop.put("c").generation > generation


def test_listing_pages_prefixes_globs_and_offsets(shop: Shop) -> None:
    for name in ("p/1", "p/2", "p/q/3", "p/q/4", "r"):
        shop.put(name)
    root = shop.root + "/"

    def names(**options: Any) -> list[str]:
        found = shop.client.list_blobs(BUCKET, **options)
        listed = [blob.name.removeprefix(root) for blob in found]
        return listed + [name.removeprefix(root) for name in sorted(found.prefixes)]

    everything = ["a", "b", "p/1", "p/2", "p/q/3", "p/q/4", "r"]
    assert names(prefix=root) == everything
    assert names(prefix=root, page_size=2) == everything
    assert names(prefix=root, delimiter="/") == ["a", "b", "r", "p/"]
    assert names(prefix=root, delimiter="/", page_size=1) == ["a", "b", "r", "p/"]
    assert names(prefix=f"{root}p/", delimiter="/") == ["p/1", "p/2", "p/q/"]
    assert names(match_glob=f"{root}p/*") == ["p/1", "p/2"]
    assert names(match_glob=f"{root}**/{{1,4}}") == ["p/1", "p/q/4"]
    offsets = {"start_offset": f"{root}p/2", "end_offset": f"{root}p/q/4"}
    assert names(prefix=root, **offsets) == ["p/2", "p/q/3"]
    assert names(prefix=root, max_results=3) == everything[:3]
    assert names(prefix="nothing/") == []


@pytest.mark.parametrize(
    ("glob", "name", "fits"),
    [
        ("a/*.json", "a/x.json", True),
        ("a/*.json", "a/b/x.json", False),
        ("a/**.json", "a/b/x.json", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[!a-c]x", "bx", False),
        ("{x,yz}.j", "yz.j", True),
        ("a,b", "a,b", True),
        ("a.b", "axb", False),
    ],
)
def test_globs(glob: str, name: str, fits: bool) -> None:
    assert (glob_pattern(glob).fullmatch(name) is not None) is fits


def test_a_resumable_upload_in_chunks(shop: Shop) -> None:
    blob = shop.blob("big")
    blob.chunk_size = CHUNK
    data = secrets.token_bytes(2 * CHUNK + 17)
    blob.upload_from_string(data, if_generation_match=0)
    assert shop.blob("big").download_as_bytes() == data


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize(("header", "boundary"), [("B==", "B=="), ("'B=='", "B=="), ("'B'", "'B'")])
def test_multipart_is_split_at_the_boundary_however_it_is_quoted(
    header: str, boundary: str, newline: bytes
) -> None:
    lines = [b"--B", b"A: 1", b"", b"one", b"--B", b"", b"\r", b"two", b"--B--", b""]
    body = newline.join(lines).replace(b"--B", b"--" + boundary.encode())
    parts = split_multipart(body, f"multipart/related; boundary={header}")
    assert parts == [({"a": "1"}, b"one"), ({}, b"\r" + newline + b"two")]


def test_the_errors_look_like_googles(shop: Shop) -> None:
    answer = requests.get(f"{shop.url}{shop.object_path('none')}", timeout=30)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["errors"][0]["reason"]) == (
        404,
        404,
        "notFound",
    )


def test_deleting_answers_204_without_a_body(shop: Shop) -> None:
    answer = requests.delete(f"{shop.url}{shop.object_path('a')}", timeout=30)
    assert (answer.status_code, answer.content) == (204, b"")


def test_the_bucket_and_its_layout(shop: Shop) -> None:
    assert shop.client.get_bucket(BUCKET).versioning_enabled is False
    layout = requests.get(f"{shop.url}/storage/v1/b/{BUCKET}/storageLayout", timeout=30).json()
    assert layout["hierarchicalNamespace"] == {"enabled": False}


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.CUT])
def test_a_broken_connection(fake: FakeGcs, shop: Shop, kind: FaultKind) -> None:
    fake.break_next(kind, "delete" if kind is FaultKind.DROP_AFTER else "get")
    method = "DELETE" if kind is FaultKind.DROP_AFTER else "GET"
    with pytest.raises(requests.RequestException):
        shop.raw(method, shop.object_path("a"))
    assert shop.blob("a").exists() is (kind is not FaultKind.DROP_AFTER)


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.STATUS_AFTER])
def test_an_ordered_status(fake: FakeGcs, shop: Shop, kind: FaultKind) -> None:
    fake.break_next(kind, "delete", status=429)
    assert shop.raw("DELETE", shop.object_path("a")) == 429
    assert shop.blob("a").exists() is (kind is FaultKind.STATUS)


@pytest.mark.parametrize("kind", [FaultKind.DELAY, FaultKind.DRIP])
def test_a_slow_answer_is_whole(fake: FakeGcs, shop: Shop, kind: FaultKind) -> None:
    fake.break_next(kind, "get", seconds=0.0001)
    assert shop.raw("GET", shop.object_path("a")) == 200
    assert fake.faults.take("get", "") is None


def test_faults_and_the_log_by_http(shop: Shop) -> None:
    order = {"kind": "status", "operation": "get", "status": 418, "times": 1}
    assert shop.raw("DELETE", "/fake/requests") == 204
    assert shop.raw("POST", "/fake/faults", json=order) == 204
    assert shop.raw("GET", shop.object_path("a")) == 418
    assert shop.raw("GET", shop.object_path("a")) == 200
    log = requests.get(f"{shop.url}/fake/requests", timeout=30).json()["requests"]
    assert [(item["operation"], item["status"]) for item in log] == [("get", 418), ("get", 200)]
    assert shop.raw("POST", "/fake/faults", json={"kind": "flood"}) == 400
    assert shop.raw("POST", "/fake/faults", json={"kind": "cut", "operation": "no"}) == 400


def test_https_with_its_own_certificate(shop: Shop) -> None:
    with FakeGcs([BUCKET], tls=True) as fake:
        address = f"https://localhost:{fake.tls_port}/storage/v1/b/{BUCKET}"
        answer = requests.get(address, verify=str(fake.certificate), timeout=30)
        assert answer.json()["name"] == BUCKET


def test_as_a_program() -> None:
    command = [sys.executable, "-m", "infra.fake_gcs", "--bucket", "mine", "--tls"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip().removeprefix("export STORAGE_EMULATOR_HOST=")
        assert "certificate" in process.stdout.readline()
        assert requests.get(f"{url}/storage/v1/b/mine", timeout=30).status_code == 200
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_of_many_creators_and_movers_one_wins(shop: Shop) -> None:
    with ThreadPoolExecutor(8) as pool:
        creations = pool.map(
            lambda _: status_of(lambda: put(shop, "once", if_generation_match=0)), range(24)
        )
        assert sorted(creations) == [200] + [412] * 23
        moves = pool.map(
            lambda n: status_of(lambda: move(shop, "once", f"to/{n}", if_generation_match=0)),
            range(24),
        )
        assert sorted(moves) == [200] + [404] * 23


@pytest.fixture(scope="module")
def other() -> Iterator[str]:
    with other_emulator(BUCKET) as url:
        yield url


@pytest.mark.parametrize(("what", "attempt", "status"), CREATION, ids=[r[0] for r in CREATION])
def test_a_second_opinion(
    other: str, what: str, attempt: Callable[[Shop], object], status: int
) -> None:
    with make_client(other) as client:
        shop = Shop(other, client, secrets.token_hex(4))
        shop.put("a", b"1")
        assert status_of(lambda: attempt(shop)) == status, what


def test_a_second_opinion_on_listing(other: str, shop: Shop) -> None:
    with make_client(other) as client:
        second = Shop(other, client, secrets.token_hex(4))
        for here in (shop, second):
            for name in ("a", "b", "p/1", "p/q/2", "p-r"):
                here.put(name)
        for options in ({}, {"delimiter": "/"}, {"start_offset": "b"}, {"page_size": 2}):
            assert listed(shop, options) == listed(second, options)


def listed(shop: Shop, options: dict[str, Any]) -> tuple[list[str], list[str]]:
    root = shop.root + "/"
    options = {**options}
    if "start_offset" in options:
        options["start_offset"] = root + options["start_offset"]
    found = shop.client.list_blobs(BUCKET, prefix=root, **options)
    names = [blob.name.removeprefix(root) for blob in found]
    return names, sorted(name.removeprefix(root) for name in found.prefixes)
