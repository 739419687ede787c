"""Answers that arrive whole within a limit, or fail.

A read timeout only bounds the silence between two pieces: a server or proxy that sends one
byte every few seconds holds a request for hours, and a heartbeat with it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ReadTimeout
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

__all__ = ["BoundedAdapter"]

_PIECE = 64 * 1024


class BoundedAdapter(HTTPAdapter):
    """Reads each answer whole before giving it out: for small answers only.

    Parameters
    ----------
    limit:
        Seconds from an answer's headers to its last byte.
    """

    def __init__(self, limit: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._monotonic = monotonic
        super().__init__()

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """As requests; raises ReadTimeout past the limit, ChunkedEncodingError when cut."""
        answer = super().send(request, *args, **options)
        raw: HTTPResponse = answer.raw
        body = self._read(raw, answer, request)
        whole = HTTPResponse(
            body=io.BytesIO(body),
            headers=raw.headers,
            status=raw.status,
            reason=raw.reason,
            version=raw.version,
            preload_content=False,
            request_method=request.method,
            # The length was that of the transfer, and it was checked there.
            enforce_content_length=False,
        )
        rebuilt = self.build_response(request, whole)
        rebuilt.elapsed = answer.elapsed
        return rebuilt

    def _read(self, raw: HTTPResponse, answer: Response, request: PreparedRequest) -> bytes:
        end = self._monotonic() + self._limit
        body = bytearray()
        try:
            while piece := raw.read1(_PIECE, decode_content=False):
                body += piece
                if self._monotonic() > end:
                    raise ReadTimeout("The answer came too slowly.", request=request)
        except HTTPError as error:
            raise ChunkedEncodingError(error, request=request) from error
        finally:
            answer.close()
        return bytes(body)
