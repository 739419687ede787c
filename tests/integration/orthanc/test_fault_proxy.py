"""The proxy that breaks lines: good lines stay good, and each fault is what it says."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from infra.fake_gcs import Fault, FaultKind
from infra.fake_gcs.messages import Answer, Request
from segrelay.errors import OrthancUnavailableError
from segrelay.orthanc import OrthancSettings
from segrelay.orthanc.pools import SLOWEST_BYTES_S
from segrelay.orthanc.transport import OrthancTransport
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy
from tests.support.servers.serving import serving

TIMEOUT_S = 0.3
BODY = bytes(range(256)) * 4


class Echo:
    """Answers with the body that it gets, or else with one of its own."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def answer(self, request: Request) -> tuple[Answer, None]:
        self.requests.append(request)
        status = 404 if request.path == "/missing" else 200
        return Answer(status=status, headers={"X-Kept": "yes"}, body=request.body or BODY), None


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    with serving(echo) as url, fault_proxy(url) as proxy:
        yield proxy


def get(proxy: FaultProxy) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{proxy.url}/x", timeout=TIMEOUT_S)


def test_without_a_fault_everything_goes_through(proxy: FaultProxy, echo: Echo) -> None:
    with requests.Session() as session:
        session.trust_env = False
        sent = session.post(f"{proxy.url}/a%2Fb?q=1&r=", data=b"body", headers={"X-Own": "me"})
        missing = session.get(f"{proxy.url}/missing")
    assert (sent.status_code, sent.content, sent.headers["X-Kept"]) == (200, b"body", "yes")
    assert missing.status_code == 404
    assert (echo.requests[0].path, dict(echo.requests[0].query)) == ("/a%2Fb", {"q": "1", "r": ""})
    assert echo.requests[0].headers["x-own"] == "me"
    assert proxy.requests == [("POST", "/a%2Fb"), ("GET", "/missing")]


@pytest.mark.parametrize(
    ("kind", "error", "done"),
    [
        (FaultKind.DROP_BEFORE, requests.ConnectionError, 0),
        (FaultKind.DROP_AFTER, requests.ConnectionError, 1),
        (FaultKind.RESET, requests.ConnectionError, 1),
        (FaultKind.HANG, requests.ReadTimeout, 0),
        (FaultKind.HANG_AFTER, requests.ReadTimeout, 1),
        (FaultKind.CUT, requests.exceptions.ChunkedEncodingError, 1),
    ],
)
def test_a_fault_breaks_the_request_that_it_was_ordered_for(
    proxy: FaultProxy, echo: Echo, kind: FaultKind, error: type[Exception], done: int
) -> None:
    proxy.faults.add(Fault(kind=kind, operation="GET", skip=1))
    assert get(proxy).content == BODY
    with pytest.raises(error):
        get(proxy)
    assert len(echo.requests) == 1 + done
    assert get(proxy).content == BODY


def test_a_reset_is_a_reset_and_not_an_end(proxy: FaultProxy) -> None:
    parts = urlsplit(proxy.url)
    proxy.faults.add(Fault(kind=FaultKind.RESET))
    with socket.create_connection((parts.hostname, parts.port)) as line:
        line.sendall(b"GET /x HTTP/1.1\r\nHost: here\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            line.recv(1)


def test_a_server_that_hangs_can_be_closed(proxy: FaultProxy) -> None:
    parts = urlsplit(proxy.url)
    proxy.faults.add(Fault(kind=FaultKind.HANG))
    with socket.create_connection((parts.hostname, parts.port)) as line:
        line.sendall(b"GET /x HTTP/1.1\r\nHost: here\r\n\r\n")
        while not proxy.faults.hits:
            line.settimeout(TIMEOUT_S)
        proxy.close()
        line.settimeout(10)
        assert line.recv(1) == b""


def test_an_answer_that_drips_is_broken_off_and_asked_for_again(
    proxy: FaultProxy, echo: Echo
) -> None:
    """Each byte comes within the time-out; the whole would take 50 seconds."""
    transport = OrthancTransport(OrthancSettings(url=proxy.url, read_timeout=TIMEOUT_S, retries=0))
    assert len(BODY) > SLOWEST_BYTES_S * TIMEOUT_S
    proxy.faults.add(Fault(kind=FaultKind.DRIP, seconds=0.05))
    assert transport.call("GET", "/x") == BODY
    assert len(echo.requests) == 2
    proxy.faults.add(Fault(kind=FaultKind.DRIP, seconds=0.05, times=100))
    with pytest.raises(OrthancUnavailableError, match="too slowly"):
        transport.call("GET", "/x")
    transport.close()
