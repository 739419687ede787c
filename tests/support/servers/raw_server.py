"""An HTTP server on loopback whose answers are bytes, written as a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator

from tests.support.listener import Listener

Script = Callable[[socket.socket], None]
"""Answers one request on its connection."""


def answer(
    body: bytes = b"", *, status: str = "200 OK", headers: str = "", length: int | None = None
) -> Script:
    """One that comes at once; ``length`` is what it says of its body's length."""
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{headers}\r\n"
    return lambda line: line.sendall(head.encode() + body)


class RawServer:
    """Answers requests by scripts, in their order; the last one for all that follow.

    With ``reads`` False, a script gets the connection with the request's body still unread.
    """

    def __init__(self, *scripts: Script, reads: bool = True) -> None:
        self._scripts = deque(scripts)
        self._reads = reads
        self._lock = threading.Lock()
        self.requests: list[bytes] = []
        """The head of each request so far."""
        self._listener = Listener(self._answer, small_buffer=True)
        self.url = self._listener.url
        self.close = self._listener.close

    @property
    def connections(self) -> int:
        """How many there have been."""
        return self._listener.connections

    def _answer(self, line: socket.socket) -> None:
        # A buffer would keep the start of a body for itself.
        with line.makefile("rb", -1 if self._reads else 0) as reader:
            while head := _read_head(reader.readline):
                if self._reads:
                    reader.read(_body_length(head))
                with self._lock:
                    self.requests.append(head)
                    script = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
                script(line)


def _read_head(read_line: Callable[[], bytes]) -> bytes:
    lines = []
    while (line := read_line()) not in (b"\r\n", b""):
        lines.append(line)
    return b"".join(lines)


def _body_length(head: bytes) -> int:
    for line in head.lower().splitlines():
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


@contextlib.contextmanager
def raw_server(*scripts: Script, reads: bool = True) -> Iterator[RawServer]:
    """A server that ends with the block."""
    server = RawServer(*scripts, reads=reads)
    try:
        yield server
    finally:
        server.close()
