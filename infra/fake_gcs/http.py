"""Sockets: requests in, answers out, faults in between."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from infra.fake_gcs.api import Api
from infra.fake_gcs.errors import ApiError
from infra.fake_gcs.faults import Fault, FaultKind, Faults
from infra.fake_gcs.messages import Answer, Request
from infra.fake_gcs.routes import Call, find_route

SHORTEST_CUT = 1
"""Bytes that still arrive of a body that is cut."""

_NOTHING_DONE = (FaultKind.DROP_BEFORE, FaultKind.HANG)
_NO_ANSWER = (FaultKind.DROP_AFTER, FaultKind.RESET, FaultKind.HANG_AFTER)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 seconds: closing drops what is unsent and sends RST."""


class Responder(Protocol):
    """Answers the requests of a server."""

    def answer(self, request: Request) -> tuple[Answer | None, Fault | None]:
        """The answer, None where the client gets none, and the fault that sending it meets."""
        ...


def spoil(fault: Fault | None, act: Callable[[], Answer]) -> Answer | None:
    """Act, or not, as the fault allows; the answer that is left of it, None for none."""
    if fault is None:
        return act()
    if fault.kind in _NOTHING_DONE:
        return None
    if fault.kind is FaultKind.STATUS:
        return _status(fault)
    if fault.kind is FaultKind.DELAY:
        time.sleep(fault.seconds)
    answer = act()
    if fault.kind is FaultKind.STATUS_AFTER:
        return _status(fault)
    return None if fault.kind in _NO_ANSWER else answer


class Service:
    """What all ports share: the API, the faults and the request log."""

    def __init__(self, api: Api, faults: Faults) -> None:
        self._api = api
        self.faults = faults
        self._requests: list[dict[str, Any]] = []

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Every request so far: ``operation``, ``method``, ``path``, ``query``, ``status``."""
        return list(self._requests)

    def forget_requests(self) -> None:
        """Empty the request log."""
        self._requests.clear()

    def answer(self, request: Request) -> tuple[Answer | None, Fault | None]:
        """The answer, None where the client gets none, and the fault that sending it meets."""
        try:
            call = find_route(request)
        except ApiError as error:
            return self._logged("unknown", request, _refusal(error)), None
        fault = self.faults.take(call.operation, request.path)
        answer = spoil(fault, lambda: self._perform(call, request))
        return self._logged(call.operation, request, answer), fault

    def _perform(self, call: Call, request: Request) -> Answer:
        try:
            return call.run(self._api, call.names, request)
        except ApiError as error:
            return _refusal(error)

    def _logged(self, operation: str, request: Request, answer: Answer | None) -> Answer | None:
        self._requests.append(
            {
                "operation": operation,
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "status": None if answer is None else answer.status,
            }
        )
        return answer


class HttpServer(ThreadingHTTPServer):
    """One loopback port, plain or TLS."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, service: Responder, port: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.service = service
        self.scheme = "http" if tls is None else "https"
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        self._to_reset: set[socket.socket] = set()
        if tls is not None:
            # The handshake is left to the connection's own thread.
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    @property
    def url(self) -> str:
        """``http(s)://127.0.0.1:port``."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def remember(self, connection: socket.socket) -> None:
        """A connection is open."""
        with self._connections_lock:
            self._connections.add(connection)

    def reset(self, connection: socket.socket) -> None:
        """Let closing this connection send RST."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        with self._connections_lock:
            self._to_reset.add(connection)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection for good."""
        with self._connections_lock:
            self._connections.discard(request)
            is_reset = request in self._to_reset
            self._to_reset.discard(request)
        # A shutdown would send FIN first, and the client would see an orderly end.
        if is_reset:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def server_close(self) -> None:
        """Stop listening and break the connections that are open."""
        super().server_close()
        with self._connections_lock:
            for connection in self._connections:
                _break(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nobody's error; anything else is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Without these two, delayed acknowledgements cost 40 ms a request.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.remember(self.connection)

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def answer_request(self) -> None:
        """Read one request, answer it, and let the fault, if any, spoil the sending."""
        request = self._read()
        if request is None:
            self._send(_refusal(ApiError(411, "required", "Length required.")), None)
            self.close_connection = True
            return
        answer, fault = self.server.service.answer(request)
        if answer is None:
            self._leave_unanswered(fault)
            return
        self._send(answer, fault)

    # The names that http.server calls.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer_request  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the request log has it."""

    def _read(self) -> Request | None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return None
        length = int(self.headers.get("Content-Length", "0"))
        parts = urlsplit(self.path)
        return Request(
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
            origin=f"{self.server.scheme}://{self.headers.get('Host', '')}",
        )

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        kind = None if fault is None else fault.kind
        if kind is FaultKind.CUT:
            self.wfile.write(answer.body[: max(SHORTEST_CUT, len(answer.body) // 2)])
            self.wfile.flush()
            self.close_connection = True
            _break(self.connection)
        elif kind is FaultKind.DRIP and fault is not None:
            self._drip(answer.body, fault.seconds)
        else:
            self.wfile.write(answer.body)

    def _leave_unanswered(self, fault: Fault | None) -> None:
        self.close_connection = True
        kind = None if fault is None else fault.kind
        if kind in (FaultKind.HANG, FaultKind.HANG_AFTER):
            with contextlib.suppress(OSError):
                # Until the client, or the server, gives up.
                self.connection.recv(1)
        elif kind is FaultKind.RESET:
            self.server.reset(self.connection)
        else:
            _break(self.connection)

    def _drip(self, body: bytes, seconds: float) -> None:
        for position in range(len(body)):
            self.wfile.write(body[position : position + 1])
            self.wfile.flush()
            time.sleep(seconds)


def _status(fault: Fault) -> Answer:
    reasons = {401: "authError", 403: "forbidden", 429: "rateLimitExceeded", 503: "backendError"}
    reason = reasons.get(fault.status, "error")
    return _refusal(ApiError(fault.status, reason, "This answer was ordered."))


def _refusal(error: ApiError) -> Answer:
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    return Answer(status=error.status, headers=headers, body=error.body())


def _break(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
