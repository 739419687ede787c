"""A forward proxy on loopback: CONNECT only, with or without a password."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.support.cutting_proxy import pump


class ConnectProxy:
    """Opens a way to where it is told, unless ``refuses`` is a status to answer instead."""

    def __init__(self, login: str = "", *, refuses: str = "") -> None:
        self._expected = base64.b64encode(login.encode()).decode() if login else ""
        self._refuses = refuses
        self.targets: list[str] = []
        """``host:port`` of each way that was opened."""
        self.heads: list[str] = []
        """Each request as it came."""
        self._lines: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        for line in (self._listener, *self._lines):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._lines.append(client)
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
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
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def connect_proxy(login: str = "", *, refuses: str = "") -> Iterator[ConnectProxy]:
    """A proxy that ends with the block; ``login`` is ``user:password``."""
    proxy = ConnectProxy(login, refuses=refuses)
    try:
        yield proxy
    finally:
        proxy.close()
