"""Turn a failed call into an error of ``segrelay.errors``, with its remedy and no address."""

from __future__ import annotations

import re
import ssl

from urllib3.exceptions import (
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
    TimeoutError,
)

from segrelay.errors import (
    FixConfigurationError,
    OrthancNotFoundError,
    OrthancRefusedError,
    OrthancUnavailableError,
    SegRelayError,
)
from segrelay.http.deadline_http import TooSlowError
from segrelay.orthanc.answers import LIMITS
from segrelay.orthanc.settings import OrthancSettings
from segrelay.orthanc.tls import certificate_refused, certificate_required, tls_problem
from segrelay.parsing.json_reader import UnreadableJsonError, read_json
from segrelay.system.system_limits import reached_limit

RETRY_STATUS = (429, 500, 502, 503, 504)

_PASSING_STATUS = (*RETRY_STATUS, 408, 425)

_PAGES = ("text/html", "application/xhtml+xml")

DISK_FULL = 14
"""``OrthancStatus`` of "Cannot write to file", answered with HTTP 500."""


class OrthancProblemError(OrthancUnavailableError):
    """Orthanc itself reports an error of its own (HTTP 5xx).

    Parameters
    ----------
    orthanc_status:
        Its ``OrthancStatus``, a number of Orthanc's list of error codes.
    """

    def __init__(self, message: str, *, orthanc_status: int) -> None:
        super().__init__(message)
        self.orthanc_status = orthanc_status


def _https_wanted() -> FixConfigurationError:
    return FixConfigurationError(
        "The server at the Orthanc address speaks https.",
        code="orthanc-address",
        remedy="Write https:// in the Orthanc address.",
    )


_NGINX_400 = {
    b"No required SSL certificate was sent": certificate_required,
    b"The SSL certificate error": certificate_refused,
    b"The plain HTTP request was sent to HTTPS port": _https_wanted,
}
"""Texts of its errors 495 to 497, which it sends as 400: there is no other sign."""


def unexpected_answer(text: bytes, kind: str = "", status: int = 200) -> OrthancRefusedError:
    """The error that an answer means which no Orthanc gives.

    Parameters
    ----------
    text:
        The answer's body, or its beginning.
    kind:
        Its Content-Type.
    status:
        Its HTTP status.
    """
    what = _what_it_is(text, kind)
    how = "" if status == 200 else f" (HTTP {status})"
    return OrthancRefusedError(
        f"There is {what} where Orthanc should answer{how}.",
        code="orthanc-answer",
        remedy="Check the Orthanc address, and what is before Orthanc (proxy, login page).",
    )


def is_page(kind: str) -> bool:
    """Whether a Content-Type is that of a page for browsers, which Orthanc's REST never sends."""
    return kind.partition(";")[0].strip().lower() in _PAGES


def _what_it_is(text: bytes, kind: str) -> str:
    start = text[:512].lstrip().lower()
    if is_page(kind) or start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if not start:
        return "an empty answer"
    if start.startswith((b"{", b"[")):
        return "another service's JSON"
    return "another service's answer"


def is_orthancs_own(text: bytes) -> bool:
    """Whether a refusal is in Orthanc's own words, not in those of a server before it.

    Source: https://orthanc.uclouvain.be/book/users/rest.html (``HttpDescribeErrors``)
    """
    answer = _json_object(text)
    return "OrthancStatus" in answer or "OrthancError" in answer


def refusal(status: int, text: bytes, settings: OrthancSettings, kind: str = "") -> SegRelayError:
    """The error that an HTTP status other than success means.

    ``text`` is the answer's body or its beginning, ``kind`` its Content-Type.
    """
    if 300 <= status < 400:
        return FixConfigurationError(
            f"The Orthanc address leads to another one (HTTP {status}), and is not followed.",
            code="orthanc-redirect",
            remedy="Set the address to where it leads (curl -I shows it): https in place of http, "
            "or behind a login page that must let this side through.",
        )
    if status == 400:
        for sign, meaning in _NGINX_400.items():
            if sign in text:
                return meaning()
    if status in (401, 403):
        return _credentials_refused(status, settings)
    if status == 404:
        return OrthancNotFoundError("Orthanc does not have what was asked for (HTTP 404).")
    if status == 407:
        return _proxy_credentials()
    if status == 413:
        return OrthancUnavailableError(
            "The server before Orthanc refuses an upload of this size (HTTP 413).",
            code="orthanc-too-large",
            remedy="Raise its limit (nginx: client_max_body_size); the SEG waits until then.",
        )
    if status in _PASSING_STATUS or status >= 500:
        problem = _orthanc_status(text)
        if problem == DISK_FULL:
            return OrthancUnavailableError(
                "Orthanc cannot write to its disk.",
                code="orthanc-disk-full",
                remedy="Free space on Orthanc's disk; it is retried automatically.",
            )
        if problem is None:
            return OrthancUnavailableError(f"Orthanc has a problem (HTTP {status}).")
        return OrthancProblemError(
            f"Orthanc has a problem (HTTP {status}).", orthanc_status=problem
        )
    if is_orthancs_own(text):
        return OrthancRefusedError(f"Orthanc refuses the request (HTTP {status}).")
    return unexpected_answer(text, kind, status)


def no_answer(error: HTTPError) -> SegRelayError:
    """The error that a request without an answer means."""
    limit = reached_limit(error)
    if limit is not None:
        return OrthancUnavailableError(limit.message, code="limit-reached", remedy=limit.remedy)
    reason: Exception | None = error.reason if isinstance(error, MaxRetryError) else error
    by_proxy = isinstance(reason, ProxyError)
    if isinstance(reason, ProxyError):
        reason = reason.original_error
    cause = reason.args[0] if isinstance(reason, SSLError) and reason.args else None
    if isinstance(cause, ssl.SSLError) and (problem := tls_problem(cause)) is not None:
        return problem
    if refused := re.search(r"Tunnel connection failed: (\d{3})", str(reason)):
        return _proxy_refusal(int(refused[1]))
    if by_proxy:
        return OrthancUnavailableError(
            f"The proxy to Orthanc did not answer ({_kind_of(reason)}).",
            remedy="Check that the proxy runs and that its address (orthanc.proxy) is right.",
        )
    return OrthancUnavailableError(
        f"Orthanc did not answer ({_kind_of(reason)}).",
        remedy="Check that Orthanc runs and that its address is right.",
    )


def is_too_slow(error: Exception | None) -> bool:
    """Whether bytes came, but too few."""
    return isinstance(error, ReadTimeoutError) and isinstance(error.__cause__, TooSlowError)


def _credentials_refused(status: int, settings: OrthancSettings) -> FixConfigurationError:
    if settings.token.get_secret_value():
        what, remedy = "refuses the token", "Check that the token is right and still valid."
    elif settings.user:
        what = "refuses the user name or password"
        remedy = "Check the Orthanc user and password."
    else:
        what = "asks for credentials, and there are none"
        remedy = "Set an Orthanc user and password, or a token."
    return FixConfigurationError(
        f"Orthanc {what} (HTTP {status}).", code="orthanc-credentials", remedy=remedy
    )


def _proxy_refusal(status: int) -> SegRelayError:
    if status == 407:
        return _proxy_credentials()
    if status >= 500:
        return OrthancUnavailableError(
            f"The proxy cannot reach Orthanc (HTTP {status}).",
            remedy="Check that Orthanc runs, and that the proxy's way to it is open.",
        )
    return FixConfigurationError(
        f"The proxy refuses to connect to Orthanc (HTTP {status}).",
        code="orthanc-proxy",
        remedy="Let the proxy's operator allow Orthanc's address and port.",
    )


def _proxy_credentials() -> FixConfigurationError:
    return FixConfigurationError(
        "The proxy refuses the connection without the right user and password (HTTP 407).",
        code="orthanc-proxy-credentials",
        remedy="Check proxy_user and the proxy's password.",
    )


def _orthanc_status(text: bytes) -> int | None:
    status = _json_object(text).get("OrthancStatus")
    return status if isinstance(status, int) else None


def _json_object(text: bytes) -> dict[str, object]:
    """The JSON object that the text is; an empty one where it is none."""
    try:
        answer = read_json(text, LIMITS)
    except UnreadableJsonError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _kind_of(reason: Exception | None) -> str:
    if is_too_slow(reason):
        return "too slowly"
    if isinstance(reason, TimeoutError) and not isinstance(reason, NewConnectionError):
        return "time-out"
    if isinstance(reason, NameResolutionError):
        return "its name cannot be resolved"
    return "connection refused" if "refused" in str(reason) else "connection lost"
