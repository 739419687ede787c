"""Orthanc: whether the way to it is safe, and whether it lets this side in."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from common.errors import SegRelayError
from common.orthanc import OrthancClient, OrthancSettings
from lab_side.doctor.finding import Finding, Verdict, failed

TIMEOUT_S, RETRIES = 15.0, 1
"""A person waits."""


def examine_orthanc(settings: OrthancSettings) -> Iterator[Finding]:
    """Every check of Orthanc."""
    yield check_way(settings)
    yield check_answer(settings)


def check_way(settings: OrthancSettings) -> Finding:
    """How requests go to Orthanc, and as whom."""
    check = "way to Orthanc"
    detail = "; ".join(_way(settings))
    if settings.is_exposed:
        return Finding(
            check=check,
            verdict=Verdict.WARNING,
            detail=detail,
            remedy="Use https; with allow_plain_http everybody on the way reads password and "
            "images, unless a VPN protects it.",
        )
    return Finding(check=check, verdict=Verdict.OK, detail=detail)


def check_answer(settings: OrthancSettings) -> Finding:
    """Whether Orthanc answers, and takes the credentials; one request."""
    check = "Orthanc answers"
    limited = {"connect_timeout": TIMEOUT_S, "read_timeout": TIMEOUT_S, "retries": RETRIES}
    try:
        client = OrthancClient(settings.model_copy(update=limited))
        try:
            version = client.system().get("Version", "of unknown version")
        finally:
            client.close()
    except SegRelayError as error:
        return failed(check, error)
    return Finding(check=check, verdict=Verdict.OK, detail=f"Orthanc {version}")


def _way(settings: OrthancSettings) -> Iterator[str]:
    if settings.url.startswith("https:"):
        whom = "public authorities" if settings.ca_file is None else str(settings.ca_file)
        yield f"TLS, trusting {whom}"
        if settings.client_cert is not None:
            yield f"client certificate {settings.client_cert}"
    elif settings.is_exposed:
        yield "plain http to another machine, not encrypted"
    else:
        yield "plain http within this machine"
    if settings.proxy:
        yield f"over the proxy {urlsplit(settings.proxy).netloc}"
    if settings.token.get_secret_value():
        yield "with a token"
    else:
        yield f"as user {settings.user}" if settings.user else "without user or token"
