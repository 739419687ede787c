"""An HTTP server on loopback whose answers are bytes, written as a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator

Script = Callable[[socket.socket], None]
"""Answers one request on its connection."""

SMALL_BUFFER = 16 * 1024
"""What the system keeps of a request that nobody reads."""


def answer(
    body: bytes = b"", *, status: str = "200 OK", headers: str = "", length: int | None = None
) -> Script:
    """One that comes at once; ``length`` is what it says of its body's length."""
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{headers}\r\n"
    return lambda line: line.sendall(head.encode() + body)


class RawServer:
    """Answers requests by scripts, in their order; the last one for all that follow.

    A script that leaves a request unread gets the connection as it is: ``reads`` is False then.
    """

    def __init__(self, *scripts: Script, reads: bool = True) -> None:
        self._scripts = deque(scripts)
        self._reads = reads
        self._lock = threading.Lock()
        self._lines: list[socket.socket] = []
        self.requests: list[bytes] = []
        """The head of each request so far."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self._lines)

    def close(self) -> None:
        """Stop, and break the connections that are open."""
        for line in (self._listener, *self._lines):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self._lines.append(line)
                threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        # A buffer would keep the start of a body for itself.
        buffering = -1 if self._reads else 0
        with contextlib.suppress(OSError), line, line.makefile("rb", buffering) as reader:
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
