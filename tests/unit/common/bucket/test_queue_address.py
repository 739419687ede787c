"""Addresses of queues: one reader for site and agent, which never makes one queue of two."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segrelay.bucket import directory_at, open_bucket
from segrelay.bucket.address import CloudAddress, RedisAddress, directory_address, parse_address
from segrelay.bucket.local import LocalBucket
from segrelay.errors import FixConfigurationError

NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))
BYTE_NAMES = st.binary(min_size=1, max_size=8).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
)


def refusal(address: str, *, windows: bool = False) -> FixConfigurationError:
    with pytest.raises(FixConfigurationError) as caught:
        parse_address(address, windows=windows)
    assert caught.value.code == "bucket-address"
    return caught.value


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_every_directory_of_posix_comes_back(names: list[str]) -> None:
    path = PurePosixPath("/", *names)
    assert parse_address(directory_address(path), windows=False) == path


@pytest.mark.skipif(os.name != "posix", reason="names there are bytes")
@given(st.lists(BYTE_NAMES, min_size=1, max_size=4))
def test_every_directory_whose_name_is_no_utf_8_comes_back(names: list[bytes]) -> None:
    path = PurePosixPath("/", *map(os.fsdecode, names))
    assert parse_address(directory_address(path), windows=False) == path


@given(
    st.lists(
        st.text(
            st.characters(exclude_characters='/\\\0:*?"<>|', exclude_categories=("Cs", "Cc")),
            min_size=1,
            max_size=12,
        ).filter(lambda name: name.strip(". ") == name),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["C:/", "z:/", "//server/share/", "//서버/공유/"]),
)
def test_every_directory_of_windows_comes_back(names: list[str], anchor: str) -> None:
    path = PureWindowsPath(anchor, *names)
    assert parse_address(directory_address(path), windows=True) == path


@given(st.lists(NAMES, min_size=1, max_size=3), st.lists(NAMES, min_size=1, max_size=3))
def test_an_address_as_typed_is_that_directory_or_refused(one: list[str], other: list[str]) -> None:
    found = []
    for names in (one, other):
        try:
            found.append(parse_address("file:///" + "/".join(names), windows=False))
        except FixConfigurationError:
            return
    typed = ["/".join(names) for names in (one, other)]
    if "%" not in typed[0] + typed[1]:
        assert [str(path) for path in found] == [str(PurePosixPath("/" + name)) for name in typed]


@pytest.mark.parametrize("sign", ["#", "?"])
@pytest.mark.parametrize("place", ["/srv/queue{}2", "/srv/que{}ue/a", "/srv/queue{}", "/{}"])
def test_what_an_address_would_be_cut_at_is_refused_and_its_escape_is_named(
    sign: str, place: str
) -> None:
    escape = {"#": "%23", "?": "%3F"}[sign]
    assert escape in refusal("file://" + place.format(sign)).remedy
    found = parse_address("file://" + place.format(escape), windows=False)
    assert found == PurePosixPath(place.format(sign))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("file:queue", "absolute"),
        ("file:./queue", "absolute"),
        ("file://queue", "absolute"),
        ("file://queue/one", "Mount"),
        ("file://server/share/queue", "Mount"),
        ("file://~/queue", "in full"),
        ("file:///~/queue", "in full"),
        ("file:///", "directory"),
        ("file:////", "directory"),
        ("/srv/queue", "file:///srv/queue"),
        ("/srv/my queue#1", "file:///srv/my%20queue%231"),
        ("C:\\queue", "file:///C:/queue"),
        ("file:///srv/que\tue", "not printable|%09"),
        ("file:///srv/queue\n", "Remove"),
        (" file:///srv/queue", "space"),
        ("file:///srv/queue ", "space"),
        ("file:///srv/a%00b", "Remove"),
        ("s3://bucket/queue", "gs://bucket/prefix"),
        ("gs://Bucket/queue", "lower-case"),
        ("gs://bucket/queue#1", "letters"),
        ("gs://bucket/que ue", "letters"),
        ("queue", "gs://bucket/prefix"),
        ("", "gs://bucket/prefix"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_to_write_it(address: str, words: str) -> None:
    error = refusal(address)
    assert any(word in error.remedy for word in words.split("|")), error.remedy
    assert "\n" not in error.message


def test_a_password_in_an_address_is_not_shown() -> None:
    assert "secret" not in refusal("https://user:secret@host/queue").message


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("file:///srv/queue", "/srv/queue"),
        ("file:/srv/queue", "/srv/queue"),
        ("FILE:///srv/queue", "/srv/queue"),
        ("file://localhost/srv/queue", "/srv/queue"),
        ("file:///srv/the queue", "/srv/the queue"),
        ("file:///srv/연구실", "/srv/연구실"),
        ("file:///srv/%EC%97%B0", "/srv/연"),
        ("file:///srv/100%", "/srv/100%"),
        ("file:///srv/a;b", "/srv/a;b"),
        ("file:///C:/queue", "/C:/queue"),
    ],
)
def test_addresses_of_posix(address: str, path: str) -> None:
    assert parse_address(address, windows=False) == PurePosixPath(path)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("file:///C:/queue", "C:/queue"),
        ("file:///C:\\queue\\one", "C:/queue/one"),
        ("file://localhost/C:/queue", "C:/queue"),
        ("file://server/share/queue", "//server/share/queue"),
        ("file:////server/share/queue", "//server/share/queue"),
    ],
)
def test_addresses_of_windows(address: str, path: str) -> None:
    assert parse_address(address, windows=True) == PureWindowsPath(path)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("file://C:/queue", "file:///C:/queue"),
        ("file:///srv/queue", "file:///C:/srv/queue"),
        ("file:///C:queue", "file:///C:/C:queue"),
        ("file:///C:/", "directory"),
        ("file://server/", "Mount"),
    ],
)
def test_what_is_wrong_on_windows(address: str, words: str) -> None:
    assert words in refusal(address, windows=True).remedy


def test_clouds() -> None:
    assert parse_address("gs://a-bucket/some/prefix/") == CloudAddress(
        bucket="a-bucket", prefix="some/prefix"
    )
    assert parse_address("gs://a-bucket") == CloudAddress(bucket="a-bucket", prefix="")
    assert directory_at("gs://a-bucket/queue") is None


@pytest.mark.parametrize("name", ["queue #1?", "100%", "~", "큐 a", "con", "a" * 200])
def test_site_and_agent_meet_whatever_the_directory_is_called(tmp_path: Path, name: str) -> None:
    bucket = LocalBucket(tmp_path / name)
    bucket.create("v1/a.json", b"{}")
    again = open_bucket(bucket.describe())
    assert again.read("v1/a.json", limit=10) == b"{}"
    assert directory_at(bucket.describe()) == tmp_path / name


@pytest.mark.parametrize(
    ("address", "url", "user"),
    [
        ("redis://localhost", "redis://localhost:6379/0/segrelay", ""),
        ("redis://127.0.0.1:7000/3", "redis://127.0.0.1:7000/3/segrelay", ""),
        (
            "rediss://lab@redis.example.org/0/a-b.c_d",
            "rediss://redis.example.org:6379/0/a-b.c_d",
            "lab",
        ),
        ("REDISS://lab@Redis.example.org/0/Q/", "rediss://redis.example.org:6379/0/Q", "lab"),
        ("redis://[::1]:6380/1/q", "redis://[::1]:6380/1/q", ""),
        ("redis://10.0.0.7/0/q?allow_plain=yes", "redis://10.0.0.7:6379/0/q", ""),
    ],
)
def test_a_redis(address: str, url: str, user: str) -> None:
    where = parse_address(address)
    assert isinstance(where, RedisAddress)
    assert (where.url, where.user, where.allow_loss) == (url, user, False)
    with_loss = parse_address(f"{address}{'&' if '?' in address else '?'}allow_loss=yes")
    assert isinstance(with_loss, RedisAddress)
    assert with_loss.allow_loss


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("redis://10.0.0.7/0/q", "rediss://"),
        ("redis://lab:hunter2@localhost/0/q", "SEGRELAY_REDIS_PASSWORD"),
        ("redis://:hunter2@localhost/0/q", "SEGRELAY_REDIS_PASSWORD"),
        ("redis://lab:hun@ter2@localhost/0/q", "SEGRELAY_REDIS_PASSWORD"),
        ("redis://@localhost/0/q", "USER@HOST"),
        ("redis://localhost/q", "database number"),
        ("redis://localhost/0/q/r", "database number"),
        ("redis://localhost/0/q:r", "database number"),
        ("redis://localhost/0/q#r", "USER@HOST"),
        ("redis://localhost/0/q?db=1", "allow_loss=yes"),
        ("redis://localhost:0/0/q", "USER@HOST"),
        ("redis://localhost:99999/0/q", "USER@HOST"),
        ("redis:///0/q", "USER@HOST"),
        ("redis:localhost", "USER@HOST"),
    ],
)
def test_a_redis_that_cannot_be_meant(address: str, words: str) -> None:
    error = refusal(address)
    assert words in error.remedy
    assert "hun" not in error.message + error.remedy
    assert "ter2" not in error.message + error.remedy


@pytest.mark.parametrize(
    "address",
    [
        "https://seg.example/queue?token=hunter2",
        "https://seg.example/queue#hunter2",
        "https://lab:hunter2@seg.example/queue",
        "http://seg.example/queue?token=hunter2",
        "redis://127.0.0.1/0/segrelay?password=hunter2",
        "rediss://lab:hunter2",
        "rediss://lab:hunter2/0/segrelay",
        "rediss://lab:hunter2@seg.example/0/a/b/c",
    ],
)
def test_what_may_be_a_secret_is_not_shown(address: str) -> None:
    error = refusal(address)
    assert "hunter2" not in f"{error.message}{error.remedy}"
    assert "seg.example" in error.message or "127.0.0.1" in error.message or "lab" in error.message
