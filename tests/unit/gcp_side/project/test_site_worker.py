"""When a request has arrived whole, byte by byte and in any pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcp_side.site.worker import LARGEST_BODY, LARGEST_HEAD, Arriving

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\ncontent-LENGTH:  10 \r\nX: y\r\n\r\n0123456789"
CHUNKS = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"


@given(request=st.sampled_from([GET, POST, CHUNKS]), cuts=st.lists(st.integers(0, 90)))
def test_it_is_whole_with_its_last_byte_and_not_before(request: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(request)) for cut in cuts} | {0, len(request)})
    arriving = Arriving(b"")
    for start, stop in itertools.pairwise(places):
        assert not arriving.is_whole()
        arriving.data += request[start:stop]
    assert arriving.is_whole()
    assert not arriving.is_too_large()


@pytest.mark.parametrize(
    ("data", "whole", "too_large"),
    [
        (b"G" * (LARGEST_HEAD + 1), True, False),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % LARGEST_BODY, False, False),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (LARGEST_BODY + 1), False, True),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", True, False),
        (CHUNKS[:60] + b"0" * LARGEST_BODY, True, False),
    ],
)
def test_what_has_no_end_is_handed_over_or_refused(
    data: bytes, whole: bool, too_large: bool
) -> None:
    arriving = Arriving(data)
    assert (arriving.is_whole(), arriving.is_too_large()) == (whole, too_large)


def test_a_client_that_waits_is_asked_once_the_head_is_there() -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    arriving = Arriving(head)
    assert not arriving.is_whole()
    assert arriving.is_awaited
    assert not Arriving(GET).is_awaited
