"""The fake refuses what Google Cloud Storage refuses, and serves what it serves.

The table of refusals is the product's own (``lab_side.conformance``), so that it can be run on a
real bucket as well. Rows that a second emulator is known to check are run against it too,
where it is installed.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from google.cloud import storage  # type: ignore[import-untyped]

from infra.fake_gcs import FakeGcs, FaultKind
from infra.fake_gcs.listing import glob_pattern
from infra.fake_gcs.uploads import split_multipart
from lab_side.conformance import CREATION, REFUSALS, Ground, Row
from tests.support.buckets.gcs import BUCKET, make_client
from tests.support.buckets.other_gcs import other_emulator
from tests.support.paths import ROOT

CHUNK = 256 * 1024

LISTED = {row.what: row for row in REFUSALS}


def make_ground(client: storage.Client) -> Ground:
    """A prefix of its own, with two objects."""
    ground = Ground(client, BUCKET, secrets.token_hex(4))
    ground.prepare()
    return ground


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET]) as fake:
        yield fake


@pytest.fixture(scope="module")
def client(fake: FakeGcs) -> Iterator[storage.Client]:
    with make_client(fake.url) as client:
        yield client


@pytest.fixture
def shop(client: storage.Client) -> Ground:
    return make_ground(client)


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.what)
def test_what_the_real_store_refuses(shop: Ground, row: Row) -> None:
    assert row.try_on(shop) == row.status


def test_the_table_has_no_row_twice() -> None:
    assert len(LISTED) == len(REFUSALS)


def test_resumable_rows_upload_resumably(fake: FakeGcs, shop: Ground) -> None:
    """The client alone would send so few bytes in one multipart request."""
    fake.forget_requests()
    assert LISTED["resumable create overtaken"].try_on(shop) == 412
    assert LISTED["resumable create twice"].try_on(shop) == 412
    uploads = [item["query"].get("uploadType") for item in fake.requests]
    assert uploads == ["resumable", "multipart", "resumable", "resumable"]


def test_a_refused_change_changes_nothing(shop: Ground) -> None:
    before = [(b.name, b.generation, b.metageneration) for b in shop.bucket.list_blobs()]
    for what in (
        "create twice",
        "move onto an object",
        "move a wrong source",
        "patch a wrong metageneration",
        "delete a wrong generation",
    ):
        assert LISTED[what].try_on(shop) == 412
    assert [(b.name, b.generation, b.metageneration) for b in shop.bucket.list_blobs()] == before


def test_the_same_requests_are_let_through_on_the_right_conditions(shop: Ground) -> None:
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


def test_patching_merges_metadata_and_null_unsets(shop: Ground) -> None:
    blob = shop.blob("a")
    blob.metadata = {"one": "1", "two": "2"}
    blob.patch()
    blob.metadata = {"two": None, "three": "3"}
    blob.patch()
    assert blob.metadata == {"one": "1", "three": "3"}


def test_times_move_with_every_change_and_generations_never_come_back(shop: Ground) -> None:
    blob = shop.put("c")
    created, generation = blob.time_created, blob.generation
    blob.metadata = {"k": "v"}
    blob.patch()
    assert blob.updated >= created == blob.time_created
    blob.delete()
    assert shop.put("c").generation > generation


def test_listing_pages_prefixes_globs_and_offsets(shop: Ground) -> None:
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


def test_a_resumable_upload_in_chunks(fake: FakeGcs, shop: Ground) -> None:
    fake.forget_requests()
    data = secrets.token_bytes(2 * CHUNK + 17)
    with shop.blob("big").open("wb", chunk_size=CHUNK, if_generation_match=0) as file:
        file.write(data)
    assert shop.blob("big").download_as_bytes() == data
    operations = [item["operation"] for item in fake.requests]
    assert operations == ["upload", *["resume-upload"] * 3, "download"]


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize(("header", "boundary"), [("B==", "B=="), ("'B=='", "B=="), ("'B'", "'B'")])
def test_multipart_is_split_at_the_boundary_however_it_is_quoted(
    header: str, boundary: str, newline: bytes
) -> None:
    lines = [b"--B", b"A: 1", b"", b"one", b"--B", b"", b"\r", b"two", b"--B--", b""]
    body = newline.join(lines).replace(b"--B", b"--" + boundary.encode())
    parts = split_multipart(body, f"multipart/related; boundary={header}")
    assert parts == [({"a": "1"}, b"one"), ({}, b"\r" + newline + b"two")]


def test_the_errors_look_like_googles(shop: Ground) -> None:
    answer = shop.send("GET", shop.object_path("none"))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["errors"][0]["reason"]) == (
        404,
        404,
        "notFound",
    )


def test_deleting_answers_204_without_a_body(shop: Ground) -> None:
    answer = shop.send("DELETE", shop.object_path("a"))
    assert (answer.status_code, answer.content) == (204, b"")


def test_the_bucket_and_its_layout(shop: Ground) -> None:
    assert shop.client.get_bucket(BUCKET).versioning_enabled is False
    layout = shop.send("GET", f"/storage/v1/b/{BUCKET}/storageLayout").json()
    assert layout["hierarchicalNamespace"] == {"enabled": False}


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.CUT])
def test_a_broken_connection(fake: FakeGcs, shop: Ground, kind: FaultKind) -> None:
    fake.break_next(kind, "delete" if kind is FaultKind.DROP_AFTER else "get")
    method = "DELETE" if kind is FaultKind.DROP_AFTER else "GET"
    with pytest.raises(requests.RequestException):
        shop.send(method, shop.object_path("a"))
    assert shop.blob("a").exists() is (kind is not FaultKind.DROP_AFTER)


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.STATUS_AFTER])
def test_an_ordered_status(fake: FakeGcs, shop: Ground, kind: FaultKind) -> None:
    fake.break_next(kind, "delete", status=429)
    assert shop.send("DELETE", shop.object_path("a")).status_code == 429
    assert shop.blob("a").exists() is (kind is FaultKind.STATUS)


@pytest.mark.parametrize("kind", [FaultKind.DELAY, FaultKind.DRIP])
def test_a_slow_answer_is_whole(fake: FakeGcs, shop: Ground, kind: FaultKind) -> None:
    fake.break_next(kind, "get", seconds=0.0001)
    assert shop.send("GET", shop.object_path("a")).status_code == 200
    assert fake.faults.take("get", "") is None


def test_https_with_its_own_certificate(shop: Ground) -> None:
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


def move_to(number: int) -> Row:
    """Rename the object ``once``, as others do at the same time."""

    def move(ground: Ground) -> object:
        target = ground.name(f"to/{number}")
        return ground.bucket.move_blob(ground.blob("once"), target, if_generation_match=0)

    return Row("", move, 404)


def test_of_many_creators_and_movers_one_wins(shop: Ground) -> None:
    with ThreadPoolExecutor(8) as pool:
        create = Row("", lambda ground: ground.put("once", if_generation_match=0), 412)
        creations = pool.map(lambda _: create.try_on(shop), range(24))
        assert sorted(creations) == [200] + [412] * 23
        moves = pool.map(lambda n: move_to(n).try_on(shop), range(24))
        assert sorted(moves) == [200] + [404] * 23


@pytest.fixture(scope="module")
def other() -> Iterator[str]:
    with other_emulator(BUCKET) as url:
        yield url


@pytest.mark.parametrize("row", CREATION, ids=lambda row: row.what)
def test_a_second_opinion(other: str, row: Row) -> None:
    with make_client(other) as client:
        assert row.try_on(make_ground(client)) == row.status


def test_a_second_opinion_on_listing(other: str, shop: Ground) -> None:
    with make_client(other) as client:
        second = make_ground(client)
        for here in (shop, second):
            for name in ("a", "b", "p/1", "p/q/2", "p-r"):
                here.put(name)
        for options in ({}, {"delimiter": "/"}, {"start_offset": "b"}, {"page_size": 2}):
            assert listed(shop, options) == listed(second, options)


def listed(shop: Ground, options: dict[str, Any]) -> tuple[list[str], list[str]]:
    root = shop.root + "/"
    options = {**options}
    if "start_offset" in options:
        options["start_offset"] = root + options["start_offset"]
    found = shop.client.list_blobs(BUCKET, prefix=root, **options)
    names = [blob.name.removeprefix(root) for blob in found]
    return names, sorted(name.removeprefix(root) for name in found.prefixes)
