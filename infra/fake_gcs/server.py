"""The whole fake: one store behind a plain port and, where wanted, a TLS port."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from infra.fake_gcs.api import Api
from infra.fake_gcs.faults import Fault, FaultKind, Faults
from infra.fake_gcs.http import HttpServer, Service
from infra.fake_gcs.store import Store
from infra.servers.certificates import Authority

_POLL_S = 0.05
"""How soon the server threads see that they are to stop."""


class FakeGcs:
    """A strict fake of Google Cloud Storage on loopback, in memory; a context manager.

    Parameters
    ----------
    buckets:
        The only buckets that exist.
    port, tls_port:
        0 for a free one.
    tls:
        Serve https as well, with a certificate of its own.
    lies:
        Operations whose conditions are ignored, to test that such a store is found out.
    destination_first:
        See :class:`~infra.fake_gcs.store.Store`.
    """

    def __init__(
        self,
        buckets: Collection[str] = ("segrelay",),
        *,
        port: int = 0,
        tls: bool = False,
        tls_port: int = 0,
        lies: Collection[str] = (),
        destination_first: bool = False,
    ) -> None:
        self.store = Store(buckets, destination_first=destination_first)
        self.faults = Faults()
        self._service = Service(Api(self.store, lies=lies), self.faults)
        self._port = port
        self._tls_port = tls_port
        self._tls = tls
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._certificate: Path | None = None
        self._servers: list[HttpServer] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> FakeGcs:
        self._serve(HttpServer(self._service, self._port))
        if self._tls:
            self._folder = tempfile.TemporaryDirectory(prefix="segrelay-fake-gcs-")
            authority = Authority(Path(self._folder.name))
            self._certificate = authority.certificate
            context = authority.issue("fake").server_context()
            self._serve(HttpServer(self._service, self._tls_port, context))
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()
        self._servers.clear()
        self._threads.clear()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``: what STORAGE_EMULATOR_HOST takes."""
        return self._servers[0].url

    @property
    def tls_port(self) -> int:
        """The https port, for gsutil."""
        return self._servers[1].server_port

    @property
    def certificate(self) -> Path:
        """The certificate to trust, PEM."""
        if self._certificate is None:
            raise RuntimeError("start the fake with tls=True first")
        return self._certificate

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The request log."""
        return self._service.requests

    def forget_requests(self) -> None:
        """Empty the request log."""
        self._service.forget_requests()

    def break_next(
        self,
        kind: FaultKind,
        operation: str = "",
        *,
        skip: int = 0,
        times: int = 1,
        status: int = 503,
        seconds: float = 1.0,
    ) -> None:
        """Order a fault; see :class:`~infra.fake_gcs.faults.Fault`."""
        self.faults.add(
            Fault(
                kind=kind,
                operation=operation,
                skip=skip,
                times=times,
                status=status,
                seconds=seconds,
            )
        )

    def _serve(self, server: HttpServer) -> None:
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
        self._servers.append(server)
        self._threads.append(thread)
        thread.start()
