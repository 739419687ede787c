"""One pool of connections to Orthanc; every failure becomes an error of ``common.errors``.

It is urllib3's: a session of ``requests`` costs twice the processor time for each instance.
Proxies and credentials from the environment are not used: both come from the settings or
not at all. ``Accept-Encoding: identity`` because Orthanc would otherwise deflate every
instance (7 to 10 times slower, and 40 times the server's CPU).
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import DEFAULT_CA_BUNDLE_PATH
from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout
from urllib3.exceptions import (
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
    TimeoutError,
)

from common.bounded_http import TooSlowError, bounded_pools
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

LONGEST_RETRY_AFTER = 60
"""Seconds for which a server may put a repeat off with ``Retry-After``."""

_PIECE = 128 * 1024
_LONGEST_REFUSAL = 64 * 1024
"""Bytes of an error's text that are read."""

BODY_TRIES = 3
"""The retries of urllib3 end with the headers: what breaks later is tried again here."""


class CutShortError(OrthancUnavailableError):
    """The answer began and broke off."""


class OrthancTransport:
    """Requests with retries, time-outs and named errors; thread-safe."""

    def __init__(self, settings: OrthancSettings) -> None:
        self.settings = settings.checked()
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "segrelay"}
        if self.settings.user:
            self._headers["Authorization"] = _basic(
                self.settings.user, self.settings.password.get_secret_value()
            )
        ca_file = self.settings.ca_file
        self._pools = PoolManager(
            num_pools=1,
            maxsize=self.settings.connections,
            # What is left behind in a hung answer must not keep an upload waiting.
            block=False,
            ca_certs=DEFAULT_CA_BUNDLE_PATH if ca_file is None else str(ca_file),
        )
        self._pools.pool_classes_by_scheme = bounded_pools(
            self.settings.read_timeout, SLOWEST_BYTES_S
        )
        self._pool = self._pools.connection_from_url(self.settings.url)
        self._path = urlsplit(self.settings.url).path
        self._timeout = Timeout(
            connect=self.settings.connect_timeout, read=self.settings.read_timeout
        )
        self._retries = _Retry(
            total=self.settings.retries,
            backoff_factor=RETRY_BACKOFF,
            backoff_jitter=RETRY_BACKOFF,
            status_forcelist=RETRY_STATUS,
            allowed_methods=("GET", "POST", "PUT", "DELETE"),
            raise_on_status=False,
        )

    def close(self) -> None:
        """Close the pool."""
        self._pools.clear()

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

    def pieces(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        """An open answer's body as it comes, unpacked where it was sent compressed.

        Raises CutShortError when it comes too slowly, see :data:`SLOWEST_BYTES_S`.
        """
        while piece := response.read1(_PIECE, decode_content=True):
            yield piece

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[BaseHTTPResponse]:
        """Call and hand over the open answer; a body cut short raises in the ``with`` block.

        The connection goes back to the pool with the body's last byte; one whose body was not
        read to its end is closed.
        """
        response = self._open(method, path, data, {**self._headers, **(headers or {})})
        try:
            if not 200 <= response.status < 300:
                raise _refusal(response.status, self._refusal_text(response))
            yield response
        except HTTPError as error:
            if _is_too_slow(error):
                raise CutShortError("Orthanc's answer comes too slowly.") from None
            raise CutShortError("Orthanc's answer broke off.") from None
        finally:
            response.close()
            response.release_conn()

    def _open(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]
    ) -> BaseHTTPResponse:
        try:
            return self._pool.urlopen(
                method,
                self._path + path,
                data,
                headers,
                self._retries,
                redirect=False,
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            raise _failure(error) from None

    def _refusal_text(self, response: BaseHTTPResponse) -> bytes:
        text = b""
        for piece in self.pieces(response):
            text += piece
            if len(text) >= _LONGEST_REFUSAL:
                break
        return text


class _Retry(Retry):
    RETRY_AFTER_STATUS_CODES = frozenset(RETRY_STATUS)

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """As urllib3, which would wait for hours."""
        wait = super().get_retry_after(response)
        return None if wait is None else min(wait, LONGEST_RETRY_AFTER)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


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


def _failure(error: HTTPError) -> SegRelayError:
    """The error that no answer at all means, without addresses."""
    reason = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, SSLError):
        return FixConfigurationError(
            "The TLS connection to Orthanc cannot be trusted.",
            code="orthanc-tls",
            remedy="Check the server's certificate, or set ca_file to its authority.",
        )
    return OrthancUnavailableError(
        f"Orthanc did not answer ({_kind_of(reason)}).",
        remedy="Check that Orthanc runs and that its address is right.",
    )


def _kind_of(reason: Exception | None) -> str:
    if _is_too_slow(reason):
        return "too slowly"
    if isinstance(reason, TimeoutError) and not isinstance(reason, NewConnectionError):
        return "time-out"
    if isinstance(reason, NameResolutionError):
        return "its name cannot be resolved"
    return "connection refused" if "refused" in str(reason) else "connection lost"


def _is_too_slow(error: Exception | None) -> bool:
    return isinstance(error, ReadTimeoutError) and isinstance(error.__cause__, TooSlowError)
