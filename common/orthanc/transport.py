"""One pool of connections to Orthanc; every failure becomes an error of ``common.errors``.

It is urllib3's: a session of ``requests`` costs twice the processor time for each instance.
Proxies and credentials from the environment are not used: both come from the settings or
not at all. ``Accept-Encoding: identity`` because Orthanc would otherwise deflate every
instance (7 to 10 times slower, and 40 times the server's CPU).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from urllib3 import BaseHTTPResponse, Retry, Timeout
from urllib3.exceptions import HTTPError

from common.errors import FixConfigurationError, OrthancRefusedError, OrthancUnavailableError
from common.json_reader import UnreadableJsonError, read_json
from common.orthanc import answers
from common.orthanc.failures import RETRY_STATUS, is_too_slow, no_answer, refusal
from common.orthanc.pools import make_pools, request_base, request_headers
from common.orthanc.settings import OrthancSettings

RETRY_BACKOFF = 0.3
"""Seconds before the second repeat; doubles each time, plus up to as much jitter."""

LONGEST_RETRY_AFTER = 60
"""Seconds for which a server may put a repeat off with ``Retry-After``."""

BODY_TRIES = 3
"""The retries of urllib3 end with the headers: what breaks later is tried again here."""

_PIECE = 128 * 1024
_LONGEST_REFUSAL = 64 * 1024
"""Bytes of an error's text that are read."""


class CutShortError(OrthancUnavailableError):
    """The answer began and broke off."""


class OrthancTransport:
    """Requests with retries, time-outs and named errors; thread-safe.

    Raises
    ------
    FixConfigurationError
        The settings make no sense, or name a certificate or key that cannot be used.
    """

    def __init__(self, settings: OrthancSettings) -> None:
        self.settings = settings.checked()
        self._pools = make_pools(self.settings)
        self._pool = self._pools.connection_from_url(self.settings.url)
        self._base = request_base(self.settings)
        self._headers = request_headers(self.settings)
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
            return read_json(content, answers.LIMITS)
        except UnreadableJsonError as error:
            if content.lstrip()[:1] in (b"{", b"["):
                answers.odd("a document", str(error))
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
        """An open answer's body as it comes, unpacked where it was sent compressed."""
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
        """Call and hand over the open answer.

        In the ``with`` block CutShortError tells of a body that breaks off, or that comes too
        slowly. The connection goes back to the pool with the body's last byte; one whose body
        was not read to its end is closed.
        """
        response = self._open(method, path, data, {**self._headers, **(headers or {})})
        try:
            if not 200 <= response.status < 300:
                raise refusal(response.status, self._refusal_text(response), self.settings)
            yield response
        except HTTPError as error:
            what = "comes too slowly" if is_too_slow(error) else "broke off"
            raise CutShortError(f"Orthanc's answer {what}.") from None
        finally:
            response.close()
            response.release_conn()

    def _open(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]
    ) -> BaseHTTPResponse:
        try:
            return self._pool.urlopen(
                method,
                self._base + path,
                data,
                headers,
                self._retries,
                redirect=False,
                # Over a proxy, the pool is the proxy's and the address is Orthanc's.
                assert_same_host=False,
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            raise no_answer(error) from None

    def _refusal_text(self, response: BaseHTTPResponse) -> bytes:
        text = b""
        for piece in self.pieces(response):
            text += piece
            if len(text) >= _LONGEST_REFUSAL:
                break
        return text


class _Retry(Retry):
    RETRY_AFTER_STATUS_CODES = frozenset(RETRY_STATUS)

    def increment(
        self, method: str | None = None, url: str | None = None, *arguments: Any, **options: Any
    ) -> _Retry:
        """As urllib3; raises at once what a person must mend."""
        error = options.get("error")
        if isinstance(error, HTTPError) and isinstance(no_answer(error), FixConfigurationError):
            raise error
        return super().increment(method, url, *arguments, **options)

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """As urllib3, which would wait for hours."""
        wait = super().get_retry_after(response)
        return None if wait is None else min(wait, LONGEST_RETRY_AFTER)
