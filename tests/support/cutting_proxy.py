"""A TCP proxy on loopback that cuts connections after some bytes of the answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.support.listener import Listener, end, pump

CHUNK = 16 * 1024


class CuttingProxy:
    """Forwards to ``target``; while ``cuts`` is positive, ends an answer after ``after`` bytes."""

    def __init__(self, target: str, *, after: int, cuts: int) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self._after = after
        self._lock = threading.Lock()
        self.cuts = cuts
        self._listener = Listener(self._forward)
        self.url = self._listener.url
        self.close = self._listener.close

    def _forward(self, client: socket.socket) -> None:
        with socket.create_connection(self._target) as server:
            up = threading.Thread(target=pump, args=(client, server), daemon=True)
            up.start()
            self._answer(server, client)
            end(client, server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK):
                if sent + len(data) > self._after and self._take_cut():
                    client.sendall(data[: max(0, self._after - sent)])
                    return
                client.sendall(data)
                sent += len(data)

    def _take_cut(self) -> bool:
        with self._lock:
            self.cuts -= 1
            return self.cuts >= 0


@contextlib.contextmanager
def cutting_proxy(target: str, *, after: int, cuts: int) -> Iterator[CuttingProxy]:
    """A proxy that ends with the block."""
    proxy = CuttingProxy(target, after=after, cuts=cuts)
    try:
        yield proxy
    finally:
        proxy.close()
