"""An HTTP proxy on loopback before a real server: the n-th request of a kind goes wrong.

The faults are those of the fake Google Cloud Storage; their ``operation`` is the method here.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

from infra.fake_gcs.faults import Fault, Faults
from infra.fake_gcs.http import HttpServer, spoil
from infra.fake_gcs.messages import Answer, Request

ANSWER_LIMIT_S = 60.0
"""The server behind is on this computer."""

_OF_ONE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length")


class FaultProxy:
    """Forwards each request to ``target``, unless a fault was ordered for it."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self.faults = Faults()
        self.requests: list[tuple[str, str]] = []
        """Method and path of every request so far."""
        self.instead: Callable[[Request], Answer | None] = _nothing_instead
        """What is answered in place of the real server; None where that shall answer."""
        self.forwarded: dict[str, str] = {}
        """Headers that every request has when it is passed on, in place of its own."""
        self._server = HttpServer(self, 0)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``."""
        return self._server.url

    def close(self) -> None:
        """Stop, and break the connections that are open."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: Request) -> tuple[Answer | None, Fault | None]:
        """As :class:`~infra.fake_gcs.http.Responder`."""
        self.requests.append((request.method, request.path))
        ordered = self.instead(request)
        if ordered is not None:
            return ordered, None
        fault = self.faults.take(request.method, request.path)
        return spoil(fault, lambda: self._forward(request)), fault

    def _forward(self, request: Request) -> Answer:
        path = f"{request.path}?{urlencode(request.query)}" if request.query else request.path
        headers = {k: v for k, v in request.headers.items() if k not in _OF_ONE_CONNECTION}
        headers |= self.forwarded
        connection = http.client.HTTPConnection(*self._target, timeout=ANSWER_LIMIT_S)
        try:
            connection.request(request.method, path, request.body, headers)
            answer = connection.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in _OF_ONE_CONNECTION}
            return Answer(status=answer.status, headers=kept, body=answer.read())
        finally:
            connection.close()


def _nothing_instead(_request: Request) -> None:
    """The real server answers."""


@contextmanager
def fault_proxy(target: str) -> Iterator[FaultProxy]:
    """A proxy that ends with the block."""
    proxy = FaultProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
