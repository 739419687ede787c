"""A TCP proxy on loopback before a Redis: the next script's request or answer gets lost."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from enum import Enum, auto
from urllib.parse import urlsplit

from tests.support.listener import Listener, end

_SCRIPT = (b"EVAL", b"EVALSHA")
_CHUNK = 1 << 16

_ANSWER_LIMIT = 10.0
"""Seconds for the server to do what it was asked."""


class Loss(Enum):
    """How a request goes wrong; each time the client gets no answer."""

    BEFORE = auto()
    """The connection breaks; the server has not seen the request."""
    AFTER = auto()
    """The server has done it; then the connection breaks."""
    SILENT = auto()
    """The server has done it; then nothing comes, and the connection stays."""


class ReplyProxy:
    """Passes bytes on; loses a script's request or answer where one was ordered."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._orders: list[Loss | None] = []
        self.lost = 0
        """How many were lost so far."""
        self._listener = Listener(self._serve)
        self.close = self._listener.close

    @property
    def port(self) -> int:
        """Where clients connect."""
        return urlsplit(self._listener.url).port or 0

    def lose_next(self, loss: Loss, times: int = 1, *, skip: int = 0) -> None:
        """Lose so many scripts after the next ``skip``."""
        self._orders += [None] * skip + [loss] * times

    def _serve(self, client: socket.socket) -> None:
        with socket.create_connection(self._target) as server:
            back = _WayBack(server, client)
            back.start()
            try:
                while data := client.recv(_CHUNK):
                    loss = self._order(data)
                    if loss is Loss.BEFORE:
                        return
                    back.is_silent = back.is_silent or loss is not None
                    server.sendall(data)
                    if loss is Loss.AFTER:
                        back.has_answered.wait(_ANSWER_LIMIT)
                        return
            finally:
                end(server, client)
                back.join()

    def _order(self, data: bytes) -> Loss | None:
        """What is to happen to a request."""
        if not self._orders or not any(word in data for word in _SCRIPT):
            return None
        loss = self._orders.pop(0)
        self.lost += loss is not None
        return loss


class _WayBack(threading.Thread):
    """Passes answers on until one shall be lost."""

    def __init__(self, server: socket.socket, client: socket.socket) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._client = client
        self.is_silent = False
        self.has_answered = threading.Event()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(_CHUNK):
                if self.is_silent:
                    self.has_answered.set()
                else:
                    self._client.sendall(data)


@contextlib.contextmanager
def reply_proxy(port: int) -> Iterator[ReplyProxy]:
    """A proxy that ends with the block."""
    proxy = ReplyProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
