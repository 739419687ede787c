"""The site under gunicorn without a proxy: half-sent requests, and guesses at all its processes."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from infra.servers.ports import free_port
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import wait_until_ready
from tests.support.paths import ROOT

pytestmark = pytest.mark.long

LOGIN = "/admin/login/"
USER, PASSWORD = "radiologist", "right-password-3141"
SOON_S = 10.0
"""A page that is not held is there in a tenth of it, even on a busy machine."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address, ``host:port``; two workers, served as gcp_side/README.md says."""
    folder = tmp_path_factory.mktemp("site")
    environment = {
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "gcp_side.site.settings",
        "SEGRELAY_DEBUG": "1",
        "SEGRELAY_SYNC": "0",
        "SEGRELAY_SECRET_KEY": "the-same-in-all-workers-" * 3,
        "SEGRELAY_DATABASE": str(folder / "site.sqlite3"),
        "SEGRELAY_BUCKET": (folder / "queue").as_uri(),
        "SEGRELAY_ORTHANC_URL": "http://127.0.0.1:9",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    for command in (
        ("migrate", "--verbosity", "0"),
        ("createsuperuser", "--noinput", "--username", USER, "--email", "r@localhost"),
    ):
        manage = [sys.executable, "gcp_side/manage.py", *command]
        subprocess.run(manage, env=os.environ | environment, cwd=ROOT, check=True)
    address = f"127.0.0.1:{free_port()}"
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:gcp_side.site.gunicorn"]
    with ProcessSet() as processes:
        child = processes.start(
            "site",
            [*gunicorn, "gcp_side.site.wsgi", "--bind", address],
            log=folder / "site.log",
            environment=environment,
            folder=ROOT,
        )
        wait_until_ready(child, lambda: answers(address))
        yield address


def answers(address: str) -> bool:
    try:
        return requests.get(f"http://{address}{LOGIN}", timeout=60).status_code == 200
    except requests.ConnectionError:
        return False


def connect(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=SOON_S)


HALF_SENT = {
    "nothing": b"",
    "half a line": b"GET /admin/lo",
    "half a head": f"GET {LOGIN} HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".encode(),
    "half a body": f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
    "application/x-www-form-urlencoded\r\nContent-Length: 200\r\n\r\nusername=".encode(),
    "half a chunk": f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
    "application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nuser".encode(),
    "a request and half of the next": f"GET {LOGIN} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    f"GET {LOGIN} HTTP/1.1\r\nHost: local".encode(),
}


@pytest.mark.parametrize("kind", HALF_SENT)
@pytest.mark.parametrize("count", [12, 100])
def test_a_page_comes_beside_half_sent_requests(site: str, kind: str, count: int) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(count):
            line = held.enter_context(connect(site))
            line.sendall(HALF_SENT[kind])
        time.sleep(0.2)
        for _ in range(4):
            started = time.monotonic()
            answer = requests.get(f"http://{site}{LOGIN}", timeout=SOON_S)
            assert answer.status_code == 200
            assert time.monotonic() - started < SOON_S


def test_a_request_in_pieces_is_answered(site: str) -> None:
    body = b"username=x&password=y"
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with connect(site) as line:
        for piece in (head[:9].encode(), head[9:].encode(), body[:5], body[5:]):
            line.sendall(piece)
            time.sleep(0.05)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        # Without a token of the form it is refused, after it was read.
        assert answer.status == 403


def test_two_requests_at_once_are_both_answered(site: str) -> None:
    head = f"GET {LOGIN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with connect(site) as line:
        line.sendall(head + head[:20])
        time.sleep(0.3)
        line.sendall(head[20:])
        # Both come through one buffer: the end of the first may bring the start of the second.
        answered = b""
        while answered.count(b"</html>") < 2:
            piece = line.recv(65536)
            assert piece, "the site closed the connection"
            answered += piece
    assert answered.count(b"HTTP/1.1 200 ") == 2
    assert answered.count(b"csrfmiddlewaretoken") >= 2


def test_a_body_that_waits_to_be_asked_for_is_asked_for(site: str) -> None:
    head = (
        f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        "Content-Length: 10\r\n\r\n"
    )
    with connect(site) as line:
        line.sendall(head.encode())
        assert line.recv(100).startswith(b"HTTP/1.1 100 ")
        line.sendall(b"username=x")
        answer = http.client.HTTPResponse(line)
        # It passes over what says to go on.
        answer.begin()
        assert answer.status == 403


def test_a_body_that_nothing_here_takes_is_refused_at_once(site: str) -> None:
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
    with connect(site) as line:
        line.sendall(head.encode())
        assert b" 413 " in line.recv(400)


def test_chunks_are_read_to_the_last_one(site: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"username=x"
        time.sleep(0.1)
        yield b"&password=y"

    assert requests.post(f"http://{site}{LOGIN}", pieces(), timeout=SOON_S).status_code == 403


def sign_in(site: str, password: str, name: str = USER) -> tuple[int, str]:
    """Post the login form as a program does; status and ``Retry-After``."""
    with requests.Session() as visitor:
        page = visitor.get(f"http://{site}{LOGIN}", timeout=60)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        answer = visitor.post(
            f"http://{site}{LOGIN}",
            {"csrfmiddlewaretoken": token[1], "username": name, "password": password},
            headers={"X-Forwarded-For": f"203.0.113.{hash(password) % 250}"},
            allow_redirects=False,
            timeout=60,
        )
    return answer.status_code, answer.headers.get("Retry-After", "")


def test_all_processes_count_together_however_many_guess_at_once(site: str) -> None:
    assert sign_in(site, PASSWORD)[0] == 302
    with ThreadPoolExecutor(12) as guessers:
        answers = list(guessers.map(lambda n: sign_in(site, f"wrong-{n}"), range(24)))
    statuses = [status for status, _ in answers]
    # Where several come to the limit at once, each of them may be sent away.
    assert 7 <= statuses.count(200) <= 10
    assert statuses.count(200) + statuses.count(429) == 24
    assert all(0 < int(wait) <= 3600 for status, wait in answers if status == 429)
    while sign_in(site, "wrong-again")[0] == 200:
        pass
    assert sign_in(site, PASSWORD)[0] == 429
