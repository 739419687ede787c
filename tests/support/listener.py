"""What the small servers of the tests share: a loopback port, and a thread for each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

SMALL_BUFFER = 16 * 1024
"""What the system keeps of bytes that nobody reads."""


class Listener:
    """Hands each connection to ``serve``, in a thread of its own, and closes it afterwards."""

    def __init__(
        self, serve: Callable[[socket.socket], None], *, small_buffer: bool = False
    ) -> None:
        self._serve = serve
        self._lines: list[socket.socket] = []
        self._socket = socket.socket()
        if small_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self._lines)

    def close(self) -> None:
        """Stop, and break the connections that are open."""
        # A close alone would wait for another thread's read to end.
        end(self._socket, *self._lines)
        for line in (self._socket, *self._lines):
            line.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._socket.accept()
                self._lines.append(line)
                threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            self._serve(line)


def end(*lines: socket.socket) -> None:
    """End connections that another thread may be reading."""
    for line in lines:
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Forward what comes until either end closes."""
    with contextlib.suppress(OSError):
        while data := source.recv(SMALL_BUFFER):
            sink.sendall(data)
