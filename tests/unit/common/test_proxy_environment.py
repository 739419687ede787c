"""Proxies and certificates that are wrong for good are said at once, by the variable's name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[import-untyped]
from google.oauth2.credentials import Credentials

from infra.fake_gcs import FakeGcs
from infra.servers.certificates import Authority
from segrelay.bucket import open_bucket
from segrelay.bucket.gcs import GcsBucket
from segrelay.errors import FixConfigurationError, StoreUnavailableError
from segrelay.http.no_netrc import ignore_netrc
from segrelay.http.proxy_environment import AUTHORITY_VARIABLES, check_surroundings, lasting_fault
from tests.support.buckets.gcs import BUCKET
from tests.support.servers.connect_proxy import connect_proxy
from tests.support.servers.raw_server import answer, raw_server

HTTPS = "https://storage.googleapis.com"
SECRET = "pA55-w0rd"
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in AUTHORITY_VARIABLES:
            monkeypatch.delenv(name)


@pytest.mark.parametrize("variable", PROXY_VARIABLES)
@pytest.mark.parametrize(
    "value",
    [
        "proxy.hospital.example:3128",
        f"user:{SECRET}@proxy.hospital.example:3128",
        f"http://user:{SECRET} x@127.0.0.1:9",
        f"http://user:{SECRET}@127.0.0.1:9\n",
        f"http://user:{SECRET}#x@127.0.0.1:9",
        f"http://user:{SECRET}@127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://",
        "ftp://127.0.0.1:9",
        "htp://127.0.0.1:9",
        f"socks5://user:{SECRET}@127.0.0.1:9",
        "socks5h://127.0.0.1:9",
        "socks4://127.0.0.1:9",
    ],
)
def test_a_proxy_that_cannot_be_used_is_said_by_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("segrelay.http.proxy_environment.find_spec", lambda _: None)
    with pytest.raises(FixConfigurationError) as caught:
        check_surroundings(HTTPS)
    said = f"{caught.value.message} {caught.value.remedy}"
    assert caught.value.code == "bucket-proxy"
    assert variable in caught.value.message
    assert SECRET not in said
    assert "127.0.0.1" not in said


@pytest.mark.parametrize(
    "value",
    [
        "http://proxy.hospital.example:3128",
        "https://user:p%40ss@proxy.hospital.example",
        "HTTP://[::1]:3128/",
        "",
    ],
)
def test_a_proxy_that_can_be_used_is_no_fault(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    check_surroundings(HTTPS)


def test_socks_with_its_package_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    monkeypatch.setattr("segrelay.http.proxy_environment.find_spec", lambda _: object())
    check_surroundings(HTTPS)


def test_a_proxy_that_is_not_used_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nothing here")
    check_surroundings(HTTPS)
    monkeypatch.setenv("HTTPS_PROXY", "nothing here")
    monkeypatch.setenv("NO_PROXY", "storage.googleapis.com")
    check_surroundings(HTTPS)


@pytest.mark.parametrize("variable", AUTHORITY_VARIABLES)
@pytest.mark.parametrize("kind", ["missing", "empty", "text", "empty folder", "der"])
def test_a_file_of_authorities_that_is_none_is_said_by_its_variable(
    variable: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.pem"
    if kind == "empty folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes({"empty": b"", "text": b"hello\n", "der": b"\x30\x82\x01\x02"}[kind])
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(FixConfigurationError, match=variable) as caught:
        check_surroundings(HTTPS)
    assert caught.value.code == "ca-bundle"
    check_surroundings("http://127.0.0.1:9")


def test_a_file_with_a_certificate_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path).certificate))
    check_surroundings(HTTPS)


def test_the_bucket_is_not_opened_with_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "https://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")
    with pytest.raises(FixConfigurationError, match="REQUESTS_CA_BUNDLE"):
        open_bucket("gs://segrelay/queue")


def bucket_at(url: str, *, deadline: float = 20.0) -> GcsBucket:
    client = storage.Client(
        project="test",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": url},
    )
    return GcsBucket(client, BUCKET, "queue", deadline=deadline, first_pause=0.01)


@pytest.fixture(scope="module")
def secure() -> Iterator[str]:
    """The address of a bucket whose certificate nobody here trusts."""
    with FakeGcs([BUCKET], tls=True) as fake:
        yield f"https://localhost:{fake.tls_port}"


def test_an_unknown_authority_is_said_at_the_first_request(secure: str) -> None:
    bucket = bucket_at(secure)
    with pytest.raises(FixConfigurationError, match="not trusted here") as caught:
        bucket.list("v1/")
    assert caught.value.code == "bucket-certificate"
    assert "REQUESTS_CA_BUNDLE" in caught.value.remedy
    bucket.close()


def test_an_unknown_authority_after_a_success_may_pass(secure: str) -> None:
    bucket = bucket_at(secure, deadline=0.2)
    bucket.client._http.verify = False
    with pytest.warns(Warning, match="Unverified"):
        bucket.list("v1/")
    bucket.close()
    bucket.client._http.verify = True
    with pytest.raises(StoreUnavailableError, match="not trusted here"):
        bucket.list("v1/")
    bucket.close()


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden"])
def test_a_proxy_that_refuses_is_said_at_the_first_request(
    status: str, secure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_proxy(refuses=status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", f"//user:{SECRET}@"))
        bucket = bucket_at(secure)
        with pytest.raises(FixConfigurationError, match="HTTPS_PROXY") as caught:
            bucket.list("v1/")
        assert (caught.value.code, len(proxy.heads)) == ("bucket-proxy", 1)
        assert SECRET not in caught.value.message + caught.value.remedy
        bucket.close()


def test_a_proxy_that_is_busy_may_pass(secure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = requests.exceptions.ProxyError(OSError("Tunnel connection failed: 503 Busy"))
    assert lasting_fault(error, secure) is None
    assert lasting_fault(ConnectionResetError(), secure) is None


def test_errors_that_point_at_each_other_end() -> None:
    one, two = OSError("a"), OSError("b")
    one.__cause__, two.__cause__ = two, one
    assert lasting_fault(one, HTTPS) is None


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".netrc"
    path.write_text("default login anonymous password x\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_netrc_never_replaces_the_bearer_token(netrc: None) -> None:
    kind = "Content-Type: application/json\r\n"
    with raw_server(answer(b'{"kind": "storage#objects"}', headers=kind)) as server:
        client = storage.Client(
            project="test",
            credentials=Credentials("the-token"),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": server.url},
        )
        bucket = GcsBucket(client, BUCKET, "queue")
        assert bucket.list("v1/") == []
        bucket.close()
        said = [b"authorization: bearer the-token" in head.lower() for head in server.requests]
        assert said == [True]
        assert b"basic" not in b"".join(server.requests).lower()


def test_a_token_is_fetched_without_netrc(netrc: None) -> None:
    client = storage.Client(
        project="test",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
    )
    GcsBucket(client, BUCKET, "queue")
    signing_in = client._http._auth_request_session
    prepared = signing_in.prepare_request(requests.Request("POST", "https://oauth2.example/token"))
    assert "Authorization" not in prepared.headers


def test_netrc_is_not_read_where_a_request_is_redirected(netrc: None) -> None:
    moved = answer(status="302 Found", headers="Location: /second\r\n")
    with raw_server(moved, answer()) as server, requests.Session() as session:
        ignore_netrc(session)
        session.get(f"{server.url}/first", headers={"Authorization": "Bearer t"}, timeout=5)
        assert [head.count(b"Authorization: Bearer t") for head in server.requests] == [1, 1]
        assert b"Basic" not in b"".join(server.requests)


def test_no_credential_follows_to_another_host() -> None:
    session = requests.Session()
    ignore_netrc(session)
    request = requests.Request("GET", "https://b.example/", headers={"Authorization": "x"})
    prepared, answer = session.prepare_request(request), requests.Response()
    answer.request = session.prepare_request(requests.Request("GET", "https://a.example/"))
    session.rebuild_auth(prepared, answer)  # type: ignore[no-untyped-call]
    assert "Authorization" not in prepared.headers


def test_a_proxy_that_does_not_answer_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{SECRET}@127.0.0.1:9")
    client = storage.Client(
        project="p",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": "http://bucket.example"},
    )
    bucket = GcsBucket(client, BUCKET, "q", deadline=0.05, first_pause=0.01)
    with pytest.raises(StoreUnavailableError) as caught:
        bucket.list("")
    bucket.close()
    assert caught.value.message == "The proxy to the bucket (HTTP_PROXY) did not answer."
    assert "HTTP_PROXY names it" in caught.value.remedy
    assert SECRET not in f"{caught.value.message} {caught.value.remedy}"
