"""A forward proxy on loopback: CONNECT only, with or without a password."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.support.listener import Listener, end, pump


class ConnectProxy:
    """Opens a way to where it is told, unless ``refuses`` is a status to answer instead."""

    def __init__(self, login: str = "", *, refuses: str = "") -> None:
        self._expected = base64.b64encode(login.encode()).decode() if login else ""
        self._refuses = refuses
        self.targets: list[str] = []
        """``host:port`` of each way that was opened."""
        self.heads: list[str] = []
        """Each request as it came."""
        self._listener = Listener(self._answer)
        self.url = self._listener.url
        self.close = self._listener.close

    def _answer(self, client: socket.socket) -> None:
        # The client says no more before it has the answer.
        head = client.recv(64 * 1024).decode("latin-1")
        self.heads.append(head)
        if self._refuses:
            client.sendall(f"HTTP/1.1 {self._refuses}\r\n\r\n".encode())
        elif self._expected and f"Proxy-Authorization: Basic {self._expected}\r\n" not in head:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        else:
            self._open(client, head.split()[1])

    def _open(self, client: socket.socket, target: str) -> None:
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=pump, args=(client, server), daemon=True).start()
            pump(server, client)
            end(client, server)


@contextlib.contextmanager
def connect_proxy(login: str = "", *, refuses: str = "") -> Iterator[ConnectProxy]:
    """A proxy that ends with the block; ``login`` is ``user:password``."""
    proxy = ConnectProxy(login, refuses=refuses)
    try:
        yield proxy
    finally:
        proxy.close()
