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
        self._orders: list[Loss] = []
        self.lost = 0
        """How many were lost so far."""
        self._listener = Listener(self._serve)
        self.close = self._listener.close

    @property
    def port(self) -> int:
        """Where clients connect."""
        return urlsplit(self._listener.url).port or 0

    def lose_next(self, loss: Loss, times: int = 1) -> None:
        """Lose the next scripts."""
        self._orders += [loss] * times

    def _serve(self, client: socket.socket) -> None:
        with socket.create_connection(self._target) as server:
            is_silent = threading.Event()
            back = threading.Thread(target=_pass_back, args=(server, client, is_silent))
            back.start()
            try:
                while data := client.recv(_CHUNK):
                    if self._orders and data.startswith(b"*") and any(w in data for w in _SCRIPT):
                        self.lost += 1
                        loss = self._orders.pop(0)
                        if loss is Loss.BEFORE:
                            return
                        is_silent.set()
                        server.sendall(data)
                        if loss is Loss.AFTER:
                            # It answers once it has done it.
                            back.join(0.2)
                            return
                    else:
                        server.sendall(data)
            finally:
                end(server, client)
                back.join()


def _pass_back(server: socket.socket, client: socket.socket, is_silent: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := server.recv(_CHUNK):
            if not is_silent.is_set():
                client.sendall(data)


@contextlib.contextmanager
def reply_proxy(port: int) -> Iterator[ReplyProxy]:
    """A proxy that ends with the block."""
    proxy = ReplyProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
