"""Connections to Orthanc; every failure becomes an error of ``segrelay.errors``.

The secrets are read again where a server refuses them: a bearer token lives for an hour.

It is urllib3's: a session of ``requests`` costs twice the processor time for each instance.
Proxies and credentials from the environment are not used: both come from the settings or
not at all. ``Accept-Encoding: identity`` because Orthanc would otherwise deflate every
instance (7 to 10 times slower, and 40 times the server's CPU).
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from urllib3 import BaseHTTPResponse, Retry, Timeout
from urllib3.exceptions import HTTPError

from segrelay import retry
from segrelay.errors import FixConfigurationError, OrthancUnavailableError, SegRelayError
from segrelay.orthanc import answers
from segrelay.orthanc.failures import (
    RETRY_STATUS,
    is_orthancs_own,
    is_page,
    is_too_slow,
    no_answer,
    refusal,
    unexpected_answer,
)
from segrelay.orthanc.pools import make_pools, request_base, request_headers
from segrelay.orthanc.settings import OrthancSettings
from segrelay.parsing.json_reader import JsonLimits, UnreadableJsonError, read_json

TEXT_LIMIT = 64 * 1024
"""Bytes of an answer that is a line or a small object."""

FILE_LIMIT = 512 * 1024 * 1024
"""Bytes of one file that is held in memory: far more than any SEG."""

_OBJECT = re.compile(r"/(instances|series|studies)/")
"""Paths of what Orthanc may or may not have; all others it always has."""

_CREDENTIAL_STATUS = (401, 403, 407)
"""Secrets may have been renewed since they were read."""

_PIECE = 128 * 1024
_LONGEST_REFUSAL = 64 * 1024
"""Bytes of an error's text that are read."""


class CutShortError(OrthancUnavailableError):
    """The answer began and broke off."""


logger = logging.getLogger("segrelay.orthanc")


class _Access:
    """Settings with certain secrets, and the connections that use them."""

    def __init__(self, settings: OrthancSettings) -> None:
        self.settings = settings.checked()
        self.pools = make_pools(self.settings)
        self.pool = self.pools.connection_from_url(self.settings.url)
        self.base = request_base(self.settings)
        self.headers = request_headers(self.settings)


class OrthancTransport:
    """Requests with retries, time-outs and named errors; thread-safe.

    Parameters
    ----------
    settings:
        Where Orthanc is, and the secrets as they were when the program began.
    renew:
        Reads the secrets again and returns the settings with them. Called when the server
        refuses the secrets, once for a request.

    Raises
    ------
    FixConfigurationError
        The settings make no sense, or name a certificate or key that cannot be used.
    """

    def __init__(
        self,
        settings: OrthancSettings,
        *,
        renew: Callable[[], OrthancSettings] | None = None,
    ) -> None:
        self._access = _Access(settings)
        self._renew = renew
        self._renewing = threading.Lock()
        self._timeout = Timeout(
            connect=self.settings.connect_timeout, read=self.settings.read_timeout
        )
        self._retries = _Retry(
            total=self.settings.retries,
            backoff_factor=retry.ORTHANC_REQUEST.first,
            backoff_jitter=retry.ORTHANC_REQUEST.first,
            status_forcelist=RETRY_STATUS,
            allowed_methods=("GET", "POST", "PUT", "DELETE"),
            raise_on_status=False,
        )

    @property
    def settings(self) -> OrthancSettings:
        """With the secrets as they were last read."""
        return self._access.settings

    def close(self) -> None:
        """Close the pool."""
        self._access.pools.clear()

    def call_json(
        self,
        method: str,
        path: str,
        *,
        body: object | None = None,
        headers: Mapping[str, str] | None = None,
        limits: JsonLimits = answers.LIMITS,
    ) -> Any:
        """Call and read a JSON answer.

        Raises
        ------
        OrthancRefusedError
            ``orthanc-answer``: it is not JSON.
        """
        data = None if body is None else json.dumps(body).encode()
        content = self.call(method, path, data=data, headers=headers, limit=limits.size_bytes)
        try:
            return read_json(content, limits)
        except UnreadableJsonError as error:
            if content.lstrip()[:1] in (b"{", b"["):
                answers.raise_unexpected("a document", str(error))
            raise unexpected_answer(content) from None

    def call(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = FILE_LIMIT,
    ) -> bytes:
        """Call and read the whole answer; a body cut short is asked for again.

        Raises
        ------
        OrthancUnavailableError
            The answer is longer than ``limit`` bytes, unpacked.
        """
        for _ in range(retry.ORTHANC_BODY_TRIES - 1):
            try:
                return self._call_once(method, path, data, headers, limit)
            except CutShortError:
                continue
        return self._call_once(method, path, data, headers, limit)

    def _call_once(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str] | None,
        limit: int,
    ) -> bytes:
        with self.stream(method, path, data=data, headers=headers) as response:
            return b"".join(self.pieces(response, limit=limit))

    def pieces(self, response: BaseHTTPResponse, *, limit: int = FILE_LIMIT) -> Iterator[bytes]:
        """An open answer's body as it comes, unpacked where it was sent compressed.

        No piece is longer than :data:`_PIECE`, however well it was compressed.

        Raises
        ------
        OrthancUnavailableError
            More than ``limit`` bytes come, unpacked; the rest is not read.
        """
        left = limit
        while piece := response.read1(_PIECE, decode_content=True):
            left -= len(piece)
            if left < 0:
                raise OrthancUnavailableError(
                    f"Orthanc's answer is larger than the {limit} bytes that it may have.",
                    code="orthanc-answer",
                )
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

        In the ``with`` block CutShortError reports a body that breaks off, or that comes too
        slowly. The connection goes back to the pool with the body's last byte; one whose body
        was not read to its end is closed.
        """
        response = self._answer(method, path, data, headers or {})
        try:
            kind = response.headers.get("Content-Type", "")
            if not 200 <= response.status < 300:
                text = self._refusal_text(response)
                raise refusal(response.status, text, self.settings, kind)
            if is_page(kind):
                raise unexpected_answer(b"", kind)
            yield response
        except HTTPError as error:
            what = "comes too slowly" if is_too_slow(error) else "broke off"
            raise CutShortError(f"Orthanc's answer {what}.") from None
        finally:
            response.close()
            response.release_conn()

    def _answer(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]
    ) -> BaseHTTPResponse:
        """The answer, asked for again with new secrets where those in use are refused, and where
        something is absent that only Orthanc itself can say is absent."""
        response = self._open_renewed(method, path, data, headers)
        if response.status != 404:
            return response
        text = self._refusal_text(response)
        kind = response.headers.get("Content-Type", "")
        response.close()
        if is_orthancs_own(text):
            raise refusal(404, text, self.settings)
        not_orthancs = unexpected_answer(text, kind, 404)
        # Orthanc may be configured to describe no errors: then the body is empty.
        if text or not _OBJECT.match(path):
            raise not_orthancs
        self._check_orthanc_answers(not_orthancs)
        return self._open_renewed(method, path, data, headers)

    def _check_orthanc_answers(self, otherwise: SegRelayError) -> None:
        """Raise ``otherwise`` unless an Orthanc answers just now."""
        response = self._open_renewed("GET", "/system", None, {})
        try:
            answer = read_json(self._refusal_text(response), answers.LIMITS)
            if response.status == 200 and isinstance(answer, dict) and "ApiVersion" in answer:
                return
        except UnreadableJsonError:
            raise otherwise from None
        finally:
            response.close()
        raise otherwise

    def _open_renewed(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]
    ) -> BaseHTTPResponse:
        access = self._access
        try:
            response = self._open(access, method, path, data, headers)
        except FixConfigurationError as error:
            # A proxy for https refuses its own password before there is any answer.
            if error.code != "orthanc-proxy-credentials" or not self._has_renewed(access):
                raise
        else:
            if response.status not in _CREDENTIAL_STATUS or not self._has_renewed(access):
                return response
            response.close()
        return self._open(self._access, method, path, data, headers)

    def _has_renewed(self, refused: _Access) -> bool:
        """Read the secrets again; whether others than the refused ones are in use now."""
        if self._renew is None:
            return False
        with self._renewing:
            # Another thread may have done it while this one waited for its answer.
            if self._access is refused:
                try:
                    settings = self._renew()
                    if settings == refused.settings:
                        return False
                    self._access = _Access(settings)
                except SegRelayError as error:
                    logger.warning("secrets not read again: %s", error.message)
                    return False
                logger.info("secrets read again: others than those that were refused")
        return True

    def _open(
        self,
        access: _Access,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str],
    ) -> BaseHTTPResponse:
        try:
            return access.pool.urlopen(
                method,
                access.base + path,
                data,
                {**access.headers, **headers},
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
        """The first bytes of an answer that is small, or of no interest beyond them."""
        text = b""
        try:
            while len(text) < _LONGEST_REFUSAL:
                piece = response.read1(_PIECE, decode_content=True)
                if not piece:
                    break
                text += piece
        except HTTPError:
            # What came says enough, or nothing; the status is valid in any case.
            return text
        return text


class _Retry(Retry):
    RETRY_AFTER_STATUS_CODES = frozenset(RETRY_STATUS)

    def increment(
        self, method: str | None = None, url: str | None = None, *arguments: Any, **options: Any
    ) -> _Retry:
        """As urllib3; raises at once what an operator must fix."""
        error = options.get("error")
        if isinstance(error, HTTPError) and isinstance(no_answer(error), FixConfigurationError):
            raise error
        return super().increment(method, url, *arguments, **options)

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """As urllib3, which would wait for hours."""
        wait = super().get_retry_after(response)
        return None if wait is None else min(wait, retry.LONGEST_RETRY_AFTER)
