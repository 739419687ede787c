"""HTTP answers with a deadline: they keep coming, or the request fails.

A read timeout only bounds the silence between two pieces: a server or proxy that sends one
byte every few seconds holds a request for hours, be it in the headers or in the body. Here
every byte that comes off the line is counted.
"""

from __future__ import annotations

import errno
import http.client
import io
import math
import ssl
import time
import zlib
from socket import socket
from typing import TYPE_CHECKING, Any, ClassVar

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ReadTimeout
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    _Connection = HTTPConnection
else:
    _Connection = object

MOST_BYTES = 32 * 1024 * 1024
"""Of an answer that is read whole, inflated: a page of 1,000 objects with all their metadata has
a third of it."""

_PIECE = 64 * 1024


class TooSlowError(TimeoutError):
    """Raised when bytes came within the read timeout, but too few of them."""


def deadline_pools(limit: float, slowest: float) -> dict[str, type[HTTPConnectionPool]]:
    """Return pools for ``urllib3.PoolManager.pool_classes_by_scheme`` with a deadline for answers.

    From its first byte on, an answer must bring ``slowest`` bytes a second, taken over
    ``limit`` seconds; else :class:`TooSlowError` breaks the read, which urllib3 turns into its
    ReadTimeoutError. Infinity: it must be whole within ``limit``. A body that is sent may take
    as long as it keeps moving: ``limit`` seconds bound each piece of it.
    """

    class Answer(_DeadlineResponse):
        bounds = (limit, slowest * limit)

    class Plain(_PieceSender, HTTPConnection):
        response_class = Answer
        piece_limit = limit

    class Secure(_PieceSender, HTTPSConnection):
        response_class = Answer
        piece_limit = limit

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class _DeadlineResponse(http.client.HTTPResponse):
    bounds: ClassVar[tuple[float, float]]
    """Seconds, and the bytes that must come in them."""

    def __init__(self, sock: socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), *self.bounds))


class _DeadlineReader(io.RawIOBase):
    """Reads from the socket while enough bytes come."""

    def __init__(self, raw: io.RawIOBase, limit: float, least: float) -> None:
        self._raw = raw
        self._limit = limit
        self._least = least
        # The time runs from the first byte on: how long a server thinks is not judged here.
        self._until = -math.inf
        self._received = least

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        count: int | None = self._raw.readinto(buffer)
        if count:
            self._received += count
            now = time.monotonic()
            if now > self._until:
                if self._received < self._least:
                    raise TooSlowError("The answer comes too slowly.")
                self._until, self._received = now + self._limit, 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PieceSender(_Connection):
    """Sends large bodies piece by piece, and reads the answer that ends the sending early."""

    piece_limit: ClassVar[float]
    """Seconds."""

    def send(self, data: Any) -> None:
        """See http.client."""
        try:
            self._send_pieces(data)
        except ssl.SSLEOFError:
            # As without TLS: then urllib3 reads what the server said before it hung up.
            raise BrokenPipeError(errno.EPIPE, "the server has hung up") from None

    def _send_pieces(self, data: Any) -> None:
        if not isinstance(data, bytes) or len(data) <= _PIECE:
            super().send(data)
            return
        # A time-out holds for the whole of one sendall, and so far it is that of connecting.
        if self.sock is not None:
            self.sock.settimeout(self.piece_limit)
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            super().send(view[start : start + _PIECE])


class DeadlineAdapter(HTTPAdapter):
    """Reads each answer whole before giving it out: for small answers only.

    One with more than :data:`MOST_BYTES` breaks off with ChunkedEncodingError.

    Parameters
    ----------
    limit:
        Seconds from an answer's first byte to its last one.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See requests."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = deadline_pools(self._limit, math.inf)

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """See requests; raises ReadTimeout past the limit, ChunkedEncodingError when cut."""
        answer = super().send(request, *args, **options)
        raw: HTTPResponse = answer.raw
        whole = HTTPResponse(
            body=io.BytesIO(_read(answer, request)),
            headers=raw.headers,
            status=raw.status,
            reason=raw.reason,
            version=raw.version,
            preload_content=False,
            request_method=request.method,
            # The length was that of the transfer, and it was checked there.
            enforce_content_length=False,
        )
        rebuilt = self.build_response(request, whole)
        rebuilt.elapsed = answer.elapsed
        return rebuilt


def _read(answer: Response, request: PreparedRequest) -> bytes:
    try:
        body = b""
        # To the read that brings nothing: only that one reports a body cut short.
        while len(body) <= MOST_BYTES and (
            piece := answer.raw.read(MOST_BYTES + 1, decode_content=False)
        ):
            body += piece
        if len(body) > MOST_BYTES or not _inflates_within_limit(answer, body):
            raise HTTPError(f"The answer is larger than {MOST_BYTES} bytes.")
    except ReadTimeoutError as error:
        raise ReadTimeout(error, request=request) from error
    except HTTPError as error:
        raise ChunkedEncodingError(error, request=request) from error
    finally:
        answer.close()
    return body


def _inflates_within_limit(answer: Response, body: bytes) -> bool:
    """Check that what ``requests`` makes of a compressed answer is not above the limit."""
    if answer.raw.headers.get("Content-Encoding", "").lower() not in ("gzip", "deflate"):
        return True
    # 32: the header says whether it is gzip or zlib.
    inflater, size, data = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS), 0, body
    try:
        while data and size <= MOST_BYTES:
            size += len(inflater.decompress(data, _PIECE))
            data = inflater.unconsumed_tail
    except zlib.error:
        # ``requests`` will say so.
        return True
    return size <= MOST_BYTES
