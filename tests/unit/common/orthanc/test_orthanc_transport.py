"""The line to Orthanc against a server that answers byte by byte as a test says."""

from __future__ import annotations

import contextlib
import gzip
import logging
import socket
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from segrelay import retry
from segrelay.errors import FixConfigurationError, OrthancRefusedError, OrthancUnavailableError
from segrelay.orthanc import OrthancSettings
from segrelay.orthanc.transport import CutShortError, OrthancTransport
from tests.support.servers.raw_server import Script, answer, raw_server

BODY = bytes(range(256)) * 1000
TIMEOUT_S = 0.3
LARGE = bytes(8_000_000)
"""More than the system takes in before somebody reads it."""


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "ORTHANC_REQUEST", retry.RetryPolicy(first=0.001))


def connect(url: str, **changes: object) -> OrthancTransport:
    fields = {"url": url, "user": "lab", "password": "not-to-be-seen", "retries": 0, **changes}
    return OrthancTransport(OrthancSettings.model_validate(fields))


def test_one_connection_serves_request_after_request() -> None:
    with raw_server(answer(BODY)) as server:
        transport = connect(server.url)
        for _ in range(3):
            assert transport.call("GET", "/x") == BODY
        assert (server.connections, len(server.requests)) == (1, 3)
        transport.close()


def test_the_path_of_the_address_comes_first() -> None:
    with raw_server(answer(b"1")) as server:
        transport = connect(f"{server.url}/orthanc/")
        transport.call("GET", "/system")
        transport.close()
    assert server.requests[0].startswith(b"GET /orthanc/system HTTP/1.1\r\n")


def test_connections_are_used_again() -> None:
    with raw_server(answer(BODY)) as server:
        transport = connect(server.url, connections=2)
        with ThreadPoolExecutor(2) as pool:
            bodies = list(pool.map(lambda _: transport.call("GET", "/x"), range(40)))
        assert bodies == [BODY] * 40
        assert server.connections <= 2
        transport.close()


def test_the_connection_of_an_answer_that_is_left_is_closed() -> None:
    closed = threading.Event()

    def wait_for_the_end(line: socket.socket) -> None:
        answer(BODY, length=len(BODY) + 1)(line)
        # What was not read makes a reset of it.
        with contextlib.suppress(ConnectionResetError):
            line.recv(1)
        closed.set()

    with raw_server(wait_for_the_end, answer(BODY)) as server:
        transport = connect(server.url, connections=1)
        with transport.stream("GET", "/x") as response:
            assert next(transport.pieces(response))
        assert closed.wait(30)
        assert transport.call("GET", "/x") == BODY
        assert server.connections == 2
        transport.close()


def test_an_answer_that_hangs_keeps_no_other_request_waiting() -> None:
    with raw_server(answer(BODY)) as server:
        transport = connect(server.url, connections=1)
        with transport.stream("GET", "/x"):
            assert transport.call("GET", "/x") == BODY
        assert server.connections == 2
        transport.close()


@pytest.mark.parametrize(
    "cut",
    [
        answer(BODY, length=len(BODY) + 1, headers="Connection: close\r\n"),
        lambda line: line.sendall(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"
        ),
    ],
    ids=["length", "chunked"],
)
def test_a_body_cut_short_is_an_error(cut: Script) -> None:
    def cut_off(line: socket.socket) -> None:
        cut(line)
        line.shutdown(socket.SHUT_RDWR)

    with raw_server(cut_off) as server:
        transport = connect(server.url)
        with pytest.raises(CutShortError), transport.stream("GET", "/x") as response:
            list(transport.pieces(response))
        with pytest.raises(CutShortError):
            transport.call("GET", "/x")
        assert len(server.requests) == 1 + retry.ORTHANC_BODY_TRIES
        transport.close()


def test_a_body_that_breaks_off_is_asked_for_again() -> None:
    def cut_off(line: socket.socket) -> None:
        answer(BODY[:-1], length=len(BODY))(line)
        line.shutdown(socket.SHUT_RDWR)

    with raw_server(cut_off, answer(BODY)) as server:
        transport = connect(server.url)
        assert transport.call("GET", "/x") == BODY
        transport.close()


def test_headers_that_drip_are_broken_off() -> None:
    ended = threading.Event()

    def drip(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not ended.wait(TIMEOUT_S / 10):
            line.sendall(b"x")

    with raw_server(drip) as server:
        transport = connect(server.url, read_timeout=TIMEOUT_S)
        with pytest.raises(OrthancUnavailableError, match="too slowly"):
            transport.call("GET", "/x")
        ended.set()
        transport.close()


def test_a_server_may_think_before_it_answers() -> None:
    def think(line: socket.socket) -> None:
        threading.Event().wait(2 * TIMEOUT_S)
        answer(BODY)(line)

    with raw_server(think) as server:
        transport = connect(server.url, connect_timeout=TIMEOUT_S, read_timeout=30)
        assert transport.call("GET", "/x") == BODY
        transport.close()


def _take_slowly(line: socket.socket) -> None:
    threading.Event().wait(3 * TIMEOUT_S)
    left = len(LARGE)
    while left > 0:
        left -= len(line.recv(1_000_000))
    answer(b"taken")(line)


def test_an_upload_may_take_longer_than_any_time_out() -> None:
    """The time-out of connecting is not that of sending."""
    with raw_server(_take_slowly, reads=False) as server:
        transport = connect(server.url, connect_timeout=TIMEOUT_S, read_timeout=30)
        assert transport.call("POST", "/x", data=LARGE) == b"taken"
        transport.close()


def test_an_upload_that_nobody_takes_ends() -> None:
    with raw_server(_take_slowly, reads=False) as server:
        transport = connect(server.url, connect_timeout=30, read_timeout=TIMEOUT_S)
        with pytest.raises(OrthancUnavailableError):
            transport.call("POST", "/x", data=LARGE)
        transport.close()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_what_may_pass_is_tried_again(method: str, status: int) -> None:
    with raw_server(answer(b"no", status=f"{status} No"), answer(BODY)) as server:
        transport = connect(server.url, retries=1)
        assert transport.call(method, "/x", data=b"1") == BODY
        transport.close()


@pytest.mark.parametrize("status", [400, 401, 403, 413])
def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    script = answer(b"no", status=f"{status} No", headers="Retry-After: 0\r\n")
    with raw_server(script) as server:
        transport = connect(server.url, retries=4)
        with pytest.raises(Exception, match=str(status)):
            transport.call("POST", "/x", data=b"1")
        assert len(server.requests) == 1
        transport.close()


@pytest.mark.parametrize(("asked", "waited"), [(2, 2), (86_400, retry.LONGEST_RETRY_AFTER)])
def test_a_server_says_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch, asked: int, waited: int
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    busy = answer(status="503 Busy", headers=f"Retry-After: {asked}\r\n")
    with raw_server(busy, answer(BODY)) as server:
        transport = connect(server.url, retries=1)
        assert transport.call("GET", "/x") == BODY
        transport.close()
    assert waits == [waited]


OWN = b'{"HttpError": "Not Found", "HttpStatus": 404, "OrthancStatus": 17}'
SYSTEM = answer(b'{"ApiVersion": 20, "Version": "1.12.4"}')
PAGE = b"<!DOCTYPE html><title>Sign in</title>"


def test_a_refusal_without_end_is_a_refusal() -> None:
    endless = answer(b" " * 200_000, status="405 No", length=10**9)
    with raw_server(endless) as server:
        transport = connect(server.url)
        with pytest.raises(OrthancRefusedError) as caught:
            transport.call("GET", "/x")
        assert caught.value.code == "orthanc-answer"
        transport.close()


def test_orthancs_own_404_is_believed_at_once() -> None:
    with raw_server(answer(OWN, status="404 Not Found")) as server:
        transport = connect(server.url)
        with pytest.raises(OrthancRefusedError) as caught:
            transport.call("GET", "/instances/x")
        assert caught.value.code == "orthanc-not-found"
        assert len(server.requests) == 1
        transport.close()


def test_a_404_without_words_is_believed_when_orthanc_is_there_and_says_it_again() -> None:
    absent = answer(b"", status="404 Not Found")
    with raw_server(absent, SYSTEM, absent) as server:
        transport = connect(server.url)
        with pytest.raises(OrthancRefusedError) as caught:
            transport.call("GET", "/instances/x")
        assert caught.value.code == "orthanc-not-found"
        transport.close()
    assert [item.split(b" ")[1] for item in server.requests] == [
        b"/instances/x",
        b"/system",
        b"/instances/x",
    ]


def test_a_404_that_was_a_moments_is_no_404() -> None:
    with raw_server(answer(b"", status="404 Not Found"), SYSTEM, answer(BODY)) as server:
        transport = connect(server.url)
        assert transport.call("GET", "/instances/x") == BODY
        transport.close()


@pytest.mark.parametrize("system", [answer(PAGE), answer(b"{}"), answer(b"", status="503 No")])
def test_a_404_while_orthanc_is_not_there_says_nothing_of_its_objects(system: Script) -> None:
    with raw_server(answer(b"", status="404 Not Found"), system) as server:
        transport = connect(server.url)
        with pytest.raises(OrthancRefusedError) as caught:
            transport.call("GET", "/instances/x")
        assert caught.value.code == "orthanc-answer"
        transport.close()


@pytest.mark.parametrize(
    ("path", "text"), [("/instances/x", PAGE), ("/instances/x", b"no"), ("/tools/lookup", b"")]
)
def test_a_404_in_other_words_than_orthancs_is_never_believed(path: str, text: bytes) -> None:
    """Also where Orthanc answers for itself: a firewall may be before all its objects."""
    with raw_server(answer(text, status="404 Not Found")) as server:
        transport = connect(server.url)
        with pytest.raises(OrthancRefusedError) as caught:
            transport.call("GET", path)
        assert (caught.value.code, len(server.requests)) == ("orthanc-answer", 1)
        transport.close()


def test_a_page_with_404_is_named() -> None:
    with raw_server(answer(PAGE, status="404 Not Found")) as server:
        transport = connect(server.url)
        with pytest.raises(OrthancRefusedError) as caught:
            transport.call("GET", "/instances/x")
        assert caught.value.code == "orthanc-answer"
        assert "an HTML page where Orthanc should answer (HTTP 404)" in caught.value.message
        transport.close()


def test_a_page_is_not_read_as_an_answer() -> None:
    page = answer(PAGE * 1000, headers="Content-Type: text/html; charset=utf-8\r\n")
    with raw_server(page) as server:
        transport = connect(server.url)
        with pytest.raises(OrthancRefusedError, match="an HTML page where Orthanc should"):
            transport.call("GET", "/instances/x/file")
        transport.close()


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_is_read_no_further_than_its_limit(packed: bool) -> None:
    """A megabyte of gzip holds a gigabyte."""
    body, headers = bytes(4_000_000), ""
    if packed:
        body, headers = gzip.compress(bytes(400_000_000), 9), "Content-Encoding: gzip\r\n"
    with raw_server(answer(body, headers=headers)) as server:
        transport = connect(server.url)
        tracemalloc.start()
        with pytest.raises(OrthancUnavailableError, match="larger than the 1000000 bytes"):
            transport.call("GET", "/x", limit=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        transport.close()
    assert peak < 16_000_000


def renewed(url: str, *tokens: str) -> tuple[OrthancTransport, list[str]]:
    """A transport whose token is read again: each time it is the next one, then the last."""
    left = list(tokens)

    def renew() -> OrthancSettings:
        if len(left) > 1:
            del left[0]
        return settings(left[0])

    def settings(token: str) -> OrthancSettings:
        return OrthancSettings.model_validate({"url": url, "token": token, "retries": 0})

    return OrthancTransport(settings(tokens[0]), renew=renew), left


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_token_that_is_refused_is_read_again(status: str) -> None:
    with raw_server(answer(b"expired", status=status), answer(BODY)) as server:
        transport, _ = renewed(server.url, "one", "two")
        assert transport.call("GET", "/x") == BODY
        assert transport.call("GET", "/x") == BODY
        transport.close()
    sent = [line for item in server.requests for line in item.splitlines() if b"Bearer" in line]
    assert sent == [b"Authorization: Bearer " + item for item in (b"one", b"two", b"two")]


def test_a_token_is_read_again_once_for_a_call() -> None:
    with raw_server(answer(status="401 Unauthorized")) as server:
        transport, left = renewed(server.url, "one", "two", "three", "four")
        with pytest.raises(FixConfigurationError) as caught:
            transport.call("GET", "/x")
        assert caught.value.code == "orthanc-credentials"
        assert (len(server.requests), left[0]) == (2, "two")
        transport.close()


def test_the_same_token_is_not_sent_twice() -> None:
    with raw_server(answer(status="401 Unauthorized")) as server:
        transport, _ = renewed(server.url, "one")
        with pytest.raises(FixConfigurationError):
            transport.call("GET", "/x")
        assert len(server.requests) == 1
        transport.close()


def test_secrets_that_cannot_be_read_again_leave_the_refusal() -> None:
    def renew() -> OrthancSettings:
        raise FixConfigurationError("The file cannot be read.", code="secret-file-unreadable")

    with raw_server(answer(status="401 Unauthorized")) as server:
        settings = OrthancSettings.model_validate({"url": server.url, "token": "one"})
        transport = OrthancTransport(settings, renew=renew)
        with pytest.raises(FixConfigurationError) as caught:
            transport.call("GET", "/x")
        assert caught.value.code == "orthanc-credentials"
        transport.close()


def test_nothing_is_compressed_unless_asked_for() -> None:
    packed = answer(gzip.compress(BODY), headers="Content-Encoding: gzip\r\n")
    with raw_server(answer(BODY), packed) as server:
        transport = connect(server.url)
        assert transport.call("GET", "/x") == BODY
        assert transport.call("GET", "/x", headers={"Accept-Encoding": "gzip"}) == BODY
        transport.close()
    assert b"Accept-Encoding: identity\r\n" in server.requests[0]
    assert b"Accept-Encoding: gzip\r\n" in server.requests[1]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with raw_server(answer(b"x")) as other:
        script = answer(status=f"{status} Moved", headers=f"Location: {other.url}/x\r\n")
        with raw_server(script) as server:
            transport = connect(server.url, retries=4)
            with pytest.raises(FixConfigurationError) as caught:
                transport.call("GET", "/x")
            assert caught.value.code == "orthanc-redirect"
            assert len(server.requests) == 1
            transport.close()
        assert not other.requests


def test_a_proxy_for_plain_http_is_told_the_whole_address() -> None:
    settings = {
        "proxy_user": "through",
        "proxy_password": "pässword",
        "allow_plain_http": True,
    }
    with raw_server(answer(BODY)) as proxy:
        transport = connect("http://orthanc.example.org/o", proxy=proxy.url, **settings)
        assert transport.call("GET", "/system") == BODY
        transport.close()
    head = proxy.requests[0].decode()
    assert head.startswith("GET http://orthanc.example.org/o/system HTTP/1.1\r\n")
    assert "\r\nHost: orthanc.example.org\r\n" in head
    assert "\r\nProxy-Authorization: Basic dGhyb3VnaDpww6Rzc3dvcmQ=\r\n" in head
    assert "\r\nAuthorization: Basic bGFi" in head


def test_a_proxy_for_plain_http_that_refuses_us() -> None:
    with raw_server(answer(status="407 Proxy Authentication Required")) as proxy:
        transport = connect(
            "http://orthanc.example.org", proxy=proxy.url, allow_plain_http=True, retries=4
        )
        with pytest.raises(FixConfigurationError) as caught:
            transport.call("GET", "/system")
        assert caught.value.code == "orthanc-proxy-credentials"
        assert len(proxy.requests) == 1
        transport.close()


def test_a_token_is_sent_as_it_is() -> None:
    with raw_server(answer(b"1")) as server:
        transport = connect(server.url, user="", token="abc.DEF-1_2~3+/=")
        transport.call("GET", "/x")
        transport.close()
    assert b"\r\nAuthorization: Bearer abc.DEF-1_2~3+/=\r\n" in server.requests[0]


def test_the_environment_sends_no_request_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(answer(b"1")) as server, raw_server(answer(b"2")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        transport = connect(server.url)
        assert transport.call("GET", "/x") == b"1"
        transport.close()
        assert not proxy.requests


def test_credentials_are_sent_and_never_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with raw_server(answer(status="503 No")) as server:
        transport = connect(server.url, user="müller", retries=2)
        with pytest.raises(OrthancUnavailableError) as caught:
            transport.call("GET", "/x")
        transport.close()
    sent = [line for line in server.requests[0].splitlines() if b"Authorization" in line]
    assert sent == [b"Authorization: Basic bcO8bGxlcjpub3QtdG8tYmUtc2Vlbg=="]
    told = caplog.text + repr(caught.value) + repr(vars(transport))
    assert "503" in caplog.text
    assert "not-to-be-seen" not in told
    assert "bcO8bGxlcjpub3" not in caplog.text + repr(caught.value)
