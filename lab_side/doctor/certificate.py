"""How long the certificate of a server is still valid."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from datetime import datetime

from lab_side.doctor.finding import Finding, failed
from segrelay.errors import SegRelayError, StoreUnavailableError

RENEW_DAYS = 21
"""A certificate that ends sooner is warned of."""


def judge_certificate(
    check: str,
    place: tuple[str, int],
    context: Callable[[], ssl.SSLContext],
    now: datetime,
    *,
    timeout: float,
    warned_as: str = "orthanc-certificate-date",
) -> Finding:
    """Check how long a server's certificate, already trusted, is still valid.

    Parameters
    ----------
    place:
        Host and port.
    context:
        Makes what is trusted; may raise OSError or SegRelayError.
    timeout:
        Seconds to connect.
    warned_as:
        Code of the warning.
    """
    try:
        with (
            socket.create_connection(place, timeout) as line,
            context().wrap_socket(line, server_hostname=place[0]) as secured,
        ):
            certificate = secured.getpeercert() or {}
    except (OSError, SegRelayError):
        return failed(check, StoreUnavailableError("The server broke off."))
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - now.timestamp()) / 86_400
    if days < RENEW_DAYS:
        return Finding.warning(
            check,
            detail=f"it ends in {days:.0f} days",
            remedy="Have it renewed at the server before that: no job can be served afterwards.",
            code=warned_as,
        )
    return Finding.ok(check, f"valid for {days:.0f} days more")
