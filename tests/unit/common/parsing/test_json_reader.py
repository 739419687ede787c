"""JSON from elsewhere: what is read, what is refused by name, and at what cost."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segrelay.parsing.json_reader import (
    LARGEST_INTEGER,
    JsonLimits,
    UnreadableJsonError,
    read_json,
    read_json_object,
)

LIMITS = JsonLimits(size_bytes=1024 * 1024, depth=8, values=1000, text_characters=500)

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS
)
_DOCUMENTS = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_TEXTS, inner, max_size=5),
    max_leaves=20,
)


@given(document=_DOCUMENTS, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_what_json_can_say_is_read_as_it_was_written(
    document: object, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    limits = JsonLimits(size_bytes=1024 * 1024, depth=100)
    assert read_json(text, limits) == document
    assert read_json(text.encode(), limits) == document


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "UTF-16"),
        ("{}".encode("utf-16-le"), "UTF-16"),
        ("{}".encode("utf-32-be"), "UTF-32"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"<!DOCTYPE html><title>Log in</title>", "HTML"),
        (b' \n<?xml version="1.0"?>', "XML"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'"\xed\xa0\x80"', "is not UTF-8"),
        (b'{"a": 1', "is not JSON"),
        (b'{"a": 1} x', "is not JSON"),
        (b"{'a': 1}", "is not JSON"),
        (b'"a\nb"', "is not JSON"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"[1e999]", "too large"),
        (b"1." + b"0" * 100, "too long"),
        (b"9223372036854775808", "64 bits"),
        (b"-9223372036854775808", "64 bits"),
        (b"1" * 5000, "64 bits"),
        (b'{"a": 1, "a": 2}', "twice"),
        (rb'{"a": 1, "\u0061": 2}', "twice"),
        (rb'"\ud800"', "surrogate"),
        (rb'{"\udfff": 1}', "surrogate"),
        ("\ud800", "surrogate"),
        (rb'["\u0000"]', "NUL"),
        (b'"' + b"a" * 501 + b'"', "500 characters"),
        (b'{"' + b"a" * 501 + b'": 1}', "500 characters"),
        (b"[" * 9 + b"]" * 9, "deeper than 8"),
        (b'{"a":' * 900, "deeper than 8"),
        (b"[]," * 300_000, "more than 1000 values"),
        (b"[" + b"1," * 1000 + b"1]", "more than 1000 values"),
        (b'"' * 900_000, "more than 1000 values"),
        (b" " * 1024 * 1024 + b"1", "more than 1048576 bytes"),
        ("\u20ac" * 400_000, "more than 1048576 bytes"),
    ],
)
def test_anything_else_is_refused_by_name(data: bytes | str, said: str) -> None:
    with pytest.raises(UnreadableJsonError, match=said):
        read_json(data, LIMITS)


def test_brackets_within_texts_are_no_nesting() -> None:
    texts = ["[" * 100, '"[{' * 50, "\\" * 99, '\\"[[[[[[[[[[[[[[', "é[" * 20]
    assert read_json(json.dumps(texts), LIMITS) == texts


def test_the_limits_themselves_are_allowed() -> None:
    assert read_json(b"[" * 8 + b"]" * 8, LIMITS)
    assert len(read_json(json.dumps([""] * 999), LIMITS)) == 999
    assert len(read_json_object(json.dumps(dict.fromkeys(map(str, range(999)), "")), LIMITS)) == 999
    assert len(read_json(json.dumps("é" * 500), LIMITS)) == 500
    assert read_json(str(LARGEST_INTEGER), LIMITS) == LARGEST_INTEGER
    assert read_json(b"1e308", LIMITS) == 1e308
    assert read_json(rb'"\u0000"', JsonLimits(size_bytes=99, allows_nul=True)) == "\0"
    assert read_json(rb'"\ud83d\ude00"', LIMITS) == "\U0001f600"


@pytest.mark.parametrize("data", [b"[]", b"7", b"null", b'"{}"'])
def test_an_object_is_asked_for(data: bytes) -> None:
    with pytest.raises(UnreadableJsonError, match="not a JSON object"):
        read_json_object(data, LIMITS)


@pytest.mark.parametrize(
    "piece", ["[", "{", '"', "\\", '\\"', '"\\', "[]", "{},", '"a":', '""', "1", "-", "\\u", "é"]
)
def test_no_megabyte_costs_more_than_a_moment(piece: str) -> None:
    data = (piece * 1024 * 1024)[: 1024 * 1000].encode()[: 1024 * 1024]
    for text in (data, b'"' + data, b"[" + data, b'["' + data + b'"]'):
        tracemalloc.start()
        began = time.perf_counter()
        with contextlib.suppress(UnreadableJsonError):
            read_json(text[: 1024 * 1024], LIMITS)
        seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seconds < 2
        assert peak < 24 * 1024 * 1024
