"""One pooled session to Orthanc; every failure becomes an error of ``common.errors``.

Proxies and credentials from the environment are not used: both come from the settings or
not at all. ``Accept-Encoding: identity`` because Orthanc would otherwise deflate every
instance (7 to 10 times slower, and 40 times the server's CPU).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError as TransportError
from urllib3.util.retry import Retry

from common.errors import (
    FixConfigurationError,
    OrthancRefusedError,
    OrthancUnavailableError,
    SegRelayError,
)
from common.orthanc.settings import OrthancSettings

RETRY_STATUS = (429, 500, 502, 503, 504)
RETRY_BACKOFF = 0.3
"""Seconds before the second repeat; doubles each time, plus up to as much jitter."""

DISK_FULL = 14
"""``OrthancStatus`` of "Cannot write to file", answered with HTTP 500."""


SLOWEST_BYTES_S = 1000
"""An answer that comes slower than this, over one time-out, counts as broken."""

_PIECE = 64 * 1024

BODY_TRIES = 3
"""The retries of urllib3 end with the headers: what breaks later is tried again here."""


class CutShortError(OrthancUnavailableError):
    """The answer began and broke off."""


class OrthancTransport:
    """Requests with retries, time-outs and named errors; thread-safe."""

    def __init__(self, settings: OrthancSettings) -> None:
        self.settings = settings.checked()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Accept-Encoding"] = "identity"
        if self.settings.user:
            self._session.auth = (
                _as_latin1(self.settings.user),
                _as_latin1(self.settings.password.get_secret_value()),
            )
        if self.settings.ca_file is not None:
            self._session.verify = str(self.settings.ca_file)
        adapter = HTTPAdapter(
            pool_connections=1, pool_maxsize=self.settings.connections, max_retries=self._retry()
        )
        self._session.mount(self.settings.url, adapter)

    def close(self) -> None:
        """Close the pool."""
        self._session.close()

    def call_json(self, method: str, path: str, *, body: object | None = None) -> Any:
        """Call and read a JSON answer."""
        data = None if body is None else json.dumps(body).encode()
        content = self.call(method, path, data=data)
        try:
            return json.loads(content)
        except ValueError:
            raise OrthancRefusedError(
                "The answer is not JSON: the address does not lead to an Orthanc.",
                code="orthanc-answer",
                remedy="Check the Orthanc address.",
            ) from None

    def call(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Call and read the whole answer; a body cut short is asked for again."""
        for _ in range(BODY_TRIES - 1):
            try:
                return self._call_once(method, path, data, headers)
            except CutShortError:
                continue
        return self._call_once(method, path, data, headers)

    def _call_once(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str] | None
    ) -> bytes:
        with self.stream(method, path, data=data, headers=headers) as response:
            return b"".join(self.pieces(response))

    def pieces(self, response: requests.Response) -> Iterator[bytes]:
        """An open answer's body as it comes.

        A time-out bounds the silence between two bytes only: a server that sends one byte
        a minute would hold a job for ever. Raises CutShortError when it comes that slowly.
        """
        limit = self.settings.read_timeout
        until, received = time.monotonic() + limit, 0
        while piece := response.raw.read1(_PIECE, decode_content=True):
            received += len(piece)
            if time.monotonic() > until:
                if received < SLOWEST_BYTES_S * limit:
                    raise CutShortError("Orthanc's answer comes too slowly.")
                until, received = time.monotonic() + limit, 0
            yield piece

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[requests.Response]:
        """Call and hand over the open answer; a body cut short raises in the ``with`` block."""
        opened = False
        try:
            with self._session.request(
                method,
                self.settings.url + path,
                data=data,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(self.settings.connect_timeout, self.settings.read_timeout),
            ) as response:
                if not 200 <= response.status_code < 300:
                    raise _refusal(response.status_code, b"".join(self.pieces(response)))
                opened = True
                yield response
        except requests.exceptions.SSLError:
            raise FixConfigurationError(
                "The TLS connection to Orthanc cannot be trusted.",
                code="orthanc-tls",
                remedy="Check the server's certificate, or set ca_file to its authority.",
            ) from None
        except (requests.exceptions.RequestException, TransportError) as error:
            if opened:
                raise CutShortError("Orthanc's answer broke off.") from None
            raise OrthancUnavailableError(
                f"Orthanc did not answer ({_kind_of(error)}).",
                remedy="Check that Orthanc runs and that its address is right.",
            ) from None

    def _retry(self) -> Retry:
        return Retry(
            total=self.settings.retries,
            backoff_factor=RETRY_BACKOFF,
            backoff_jitter=RETRY_BACKOFF,
            status_forcelist=RETRY_STATUS,
            allowed_methods=("GET", "POST", "PUT", "DELETE"),
            raise_on_status=False,
        )


def _as_latin1(text: str) -> str:
    # requests encodes credentials as Latin-1; servers expect UTF-8.
    return text.encode().decode("latin-1")


def _refusal(status: int, body: bytes) -> SegRelayError:
    """The error that an HTTP status means."""
    if status in (401, 403):
        return FixConfigurationError(
            f"Orthanc refuses the user name or password (HTTP {status}).",
            code="orthanc-credentials",
            remedy="Check the Orthanc user and password.",
        )
    if status == 404:
        return OrthancRefusedError(
            "Orthanc does not have what was asked for (HTTP 404).",
            code="orthanc-not-found",
            remedy="It may have been deleted: look in Orthanc, then submit again.",
        )
    if status == 413:
        return OrthancRefusedError(
            "The server before Orthanc refuses an upload of this size (HTTP 413).",
            code="orthanc-too-large",
            remedy="Raise its limit (nginx: client_max_body_size).",
        )
    if status in RETRY_STATUS:
        if _orthanc_status(body) == DISK_FULL:
            return OrthancUnavailableError(
                "Orthanc cannot write to its disk.",
                code="orthanc-disk-full",
                remedy="Free space on Orthanc's disk; it is retried by itself.",
            )
        return OrthancUnavailableError(f"Orthanc has a problem (HTTP {status}).")
    return OrthancRefusedError(f"Orthanc refuses the request (HTTP {status}).")


def _orthanc_status(body: bytes) -> int | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    status = answer.get("OrthancStatus") if isinstance(answer, dict) else None
    return status if isinstance(status, int) else None


def _kind_of(error: Exception) -> str:
    """What went wrong in words, without addresses."""
    if isinstance(error, requests.exceptions.Timeout):
        return "time-out"
    if isinstance(error, requests.exceptions.ConnectionError):
        text = str(error)
        if "NameResolution" in text:
            return "its name cannot be resolved"
        return "connection refused" if "refused" in text else "connection lost"
    return "the answer broke off"
