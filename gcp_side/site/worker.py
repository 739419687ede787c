"""A gunicorn worker whose threads get requests only when they have arrived whole.

gunicorn's own threads read from a connection as soon as its first bytes are there, and wait for
the rest for as long as it takes: a dozen requests that are half sent and left open hold a site
that has no proxy before it. Here the worker's one loop collects what arrives; a request that is
not whole within :data:`ARRIVAL_SECONDS` is dropped, and the oldest one where there are too many.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial
from selectors import EVENT_READ
from socket import socket
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

ARRIVAL_SECONDS = 20.0
"""From a connection's opening, or its last answer's end, to the last byte of a request's body."""

LARGEST_HEAD = 64 * 1024
"""Bytes; gunicorn refuses a longer one itself."""

LARGEST_BODY = 6 * 1024 * 1024
"""Bytes; more than a long result of an agent, so that the site's own answer is usually seen."""

MOST_ARRIVING = 500
"""Connections of a worker whose request is not whole."""

ARRIVING_BYTES = 64 * 1024 * 1024
"""Bytes that all of them together may hold."""

STOPPING_SECONDS = 2.0
"""The same, for a worker that has to end."""

_PIECE = 64 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Arriving:
    """The bytes of a request that have come."""

    def __init__(self, bytes_so_far: bytes) -> None:
        self.data = bytearray(bytes_so_far)
        self.until = time.monotonic() + ARRIVAL_SECONDS
        self._head: int | None = None
        self._body: int | None = None
        """Length of the body; None: it ends with its last chunk."""
        self.is_awaited = False
        """The client sends the body only when it is asked to (RFC 9110 10.1.1)."""

    def is_whole(self) -> bool:
        """Whether head and body are there, or enough of them to be refused by gunicorn."""
        if self._head is None and not self._find_head():
            return len(self.data) > LARGEST_HEAD
        body = len(self.data) - (self._head or 0)
        if self._body is None:
            return self.data.endswith(_LAST_CHUNK) or body > LARGEST_BODY
        return body >= self._body

    def is_too_large(self) -> bool:
        """Whether its body is longer than any that the site takes."""
        return self._body is not None and self._body > LARGEST_BODY

    def _find_head(self) -> bool:
        end = self.data.find(_END_OF_HEAD)
        if end < 0:
            return False
        self._head = end + len(_END_OF_HEAD)
        head = bytes(self.data[: end + 2])
        length = _LENGTH.search(head)
        if not _CHUNKED.search(head):
            self._body = int(length.group(1)) if length else 0
        self.is_awaited = self._body != 0 and bool(_EXPECTS.search(head))
        return True


class WholeRequestWorker(ThreadWorker):  # type: ignore[misc]
    """``gthread``, with the requests collected before a thread gets them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # By rising time limit: each connection is given the same time.
        self._arriving: dict[TConn, Arriving] = {}
        self._whole: dict[TConn, bytes] = {}

    def enqueue_req(self, conn: TConn) -> None:
        """A connection is new, has bytes again, or has sent more than one request."""
        if self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        self._arriving[conn] = Arriving(_read_ahead(conn))
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_bytes, conn))
        self._act(conn)
        for oldest in list(self._too_much()):
            self._drop(oldest)

    def handle(self, conn: TConn) -> Any:
        """Handle a complete request, in a thread."""
        data = self._whole.pop(conn, b"")
        if data:
            conn.init()
            conn.parser.unreader.unread(data)
        return super().handle(conn)

    def murder_pending(self) -> None:
        """Drop what has not arrived in time; called once a second."""
        super().murder_pending()
        now = time.monotonic()
        if not self.alive:
            # A stopping worker waits for what is being sent, not for what is held open.
            now += ARRIVAL_SECONDS - STOPPING_SECONDS
        while self._arriving:
            conn, arriving = next(iter(self._arriving.items()))
            if arriving.until > now:
                break
            self._drop(conn)

    def _on_bytes(self, conn: TConn, sock: socket) -> None:
        try:
            data = sock.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(conn)
            return
        self._arriving[conn].data += data
        self._act(conn)

    def _act(self, conn: TConn) -> None:
        arriving = self._arriving[conn]
        if arriving.is_whole():
            self._forget(conn)
            self._whole[conn] = bytes(arriving.data)
            conn.data_ready = True
            super().enqueue_req(conn)
        elif arriving.is_too_large():
            _send(conn, _TOO_LARGE)
            self._drop(conn)
        elif arriving.is_awaited:
            arriving.is_awaited = False
            _send(conn, _CONTINUE)

    def _too_much(self) -> Iterator[TConn]:
        """The oldest, until what is left is within the limits."""
        count = len(self._arriving)
        size = sum(len(arriving.data) for arriving in self._arriving.values())
        for conn, arriving in self._arriving.items():
            if count <= MOST_ARRIVING and size <= ARRIVING_BYTES:
                return
            yield conn
            count, size = count - 1, size - len(arriving.data)

    def _drop(self, conn: TConn) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _forget(self, conn: TConn) -> None:
        del self._arriving[conn]
        self.poller.unregister(conn.sock)


def _read_ahead(conn: TConn) -> bytes:
    """What was read behind the last request of this connection."""
    if conn.parser is None:
        return b""
    data: bytes = conn.parser.unreader.take_buffered()
    return data


def _send(conn: TConn, answer: bytes) -> None:
    try:
        conn.sock.send(answer)
    except OSError:
        # Who does not take a few bytes at once is dropped when the time is over.
        return
