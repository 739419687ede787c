"""An HTTP server of this project's own on loopback, for as long as a block runs."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator

from infra.fake_gcs.http import HttpServer, Responder


@contextlib.contextmanager
def serving(responder: Responder, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Address of a server that lets ``responder`` answer."""
    server = HttpServer(responder, 0, tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
