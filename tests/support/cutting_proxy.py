"""A TCP proxy on loopback that cuts connections after some bytes of the answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

CHUNK = 16 * 1024


class CuttingProxy:
    """Forwards to ``target``; while ``cuts`` is positive, ends an answer after ``after`` bytes."""

    def __init__(self, target: str, *, after: int, cuts: int) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self._after = after
        self._lock = threading.Lock()
        self.cuts = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            up = threading.Thread(target=pump, args=(client, server), daemon=True)
            up.start()
            self._answer(server, client)
            # A close alone would wait for the other thread's read to end.
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

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


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Forward what comes until either end closes."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)


@contextlib.contextmanager
def cutting_proxy(target: str, *, after: int, cuts: int) -> Iterator[CuttingProxy]:
    """A proxy that ends with the block."""
    proxy = CuttingProxy(target, after=after, cuts=cuts)
    try:
        yield proxy
    finally:
        proxy.close()
