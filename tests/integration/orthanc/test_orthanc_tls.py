"""Orthanc behind a real nginx, as hospitals have it: TLS, client certificates, tokens, limits."""

from __future__ import annotations

import base64
import contextlib
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import CERT_REQUIRED, TLSVersion

import pytest

from infra.fake_gcs.messages import Answer, Request
from infra.line import FaultKind, Line, LineFault
from infra.servers.certificates import Authority, Identity
from infra.servers.nginx import NginxOptions, NginxServer
from infra.servers.orthanc import OrthancServer
from infra.servers.ports import free_port
from lab_side.download import download_series
from segrelay.errors import FixConfigurationError, OrthancUnavailableError, SegRelayError
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.orthanc.transport import OrthancTransport
from tests.conftest import SEED
from tests.support.lab.lab import StoredStudy, store_phantom
from tests.support.servers.connect_proxy import connect_proxy
from tests.support.servers.serving import serving

TOKEN = "t0ken-not-to-be-seen"
LOGIN = "through:proxy-pässword"


@pytest.fixture(scope="module")
def server() -> Iterator[OrthancServer]:
    with OrthancServer() as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority whom nobody knows."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def nginx(server: OrthancServer, authority: Authority) -> Iterator[NginxServer]:
    """One as it should be."""
    with NginxServer(server.url, authority.issue("server")) as nginx:
        yield nginx


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One for each pause before another try."""
    waits: list[object] = []
    monkeypatch.setattr("urllib3.Retry.sleep", lambda retry, _answer=None: waits.append(retry))
    return waits


Connect = Callable[..., OrthancClient]


@pytest.fixture
def connect(server: OrthancServer, authority: Authority) -> Iterator[Connect]:
    """Makes clients: address, and what is different from a plain good one."""
    with contextlib.ExitStack() as stack:

        def make(url: str, **changes: object) -> OrthancClient:
            fields = {
                "url": url,
                "user": server.user,
                "password": server.password,
                "ca_file": authority.certificate,
                "read_timeout": 20,
                **changes,
            }
            client = OrthancClient(OrthancSettings.model_validate(fields))
            stack.callback(client.close)
            return client

        yield make


def refused(client: OrthancClient) -> FixConfigurationError:
    """The error that a person must mend; names what to do and no secret."""
    with pytest.raises(FixConfigurationError) as caught:
        client.system()
    settings = client.transport.settings
    for secret in (settings.password, settings.token, settings.proxy_password):
        value = secret.get_secret_value()
        assert not value or value not in caught.value.message + caught.value.remedy
    return caught.value


def test_a_whole_study_arrives_byte_for_byte(
    server: OrthancServer, nginx: NginxServer, connect: Connect, tmp_path: Path
) -> None:
    study = store_phantom(server, tmp_path / "study")
    found = fetch(connect(nginx.url), study, tmp_path / "out")
    direct = connect(server.url)
    assert len(found) == len(study.series_ids) * study.instances
    for path in found:
        assert path.read_bytes() == direct.instance_file(path.stem)


def fetch(client: OrthancClient, study: StoredStudy, folder: Path) -> list[Path]:
    series = download_series(
        client,
        study.series_ids,
        folder,
        expected=dict.fromkeys(study.series_ids, study.instances),
        progress=lambda _done, _total: None,
        stop=threading.Event(),
    )
    return [path for item in series.values() for path in item.files]


NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("issue", "code"),
    [
        ({"start": NOW - 9 * DAY, "end": NOW - DAY}, "orthanc-certificate-date"),
        ({"start": NOW + DAY, "end": NOW + 9 * DAY}, "orthanc-certificate-date"),
        ({"hosts": ["127.0.0.2", "orthanc.example.org"]}, "orthanc-certificate-name"),
    ],
    ids=["expired", "not-yet-valid", "other-name"],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_bad_certificate_is_named_at_once(
    server: OrthancServer,
    authority: Authority,
    connect: Connect,
    waits: list[object],
    issue: dict[str, object],
    code: str,
    host: str,
) -> None:
    identity = authority.issue("bad", **issue)  # type: ignore[arg-type]
    with NginxServer(server.url, identity) as nginx:
        error = refused(connect(nginx.url.replace("127.0.0.1", host)))
        assert error.code == code
        assert error.remedy
        assert not waits


def test_an_unknown_authority_is_named(
    nginx: NginxServer, stranger: Authority, connect: Connect, waits: list[object]
) -> None:
    for trusted in (None, stranger.certificate):
        error = refused(connect(nginx.url, ca_file=trusted))
        assert error.code == "orthanc-certificate-authority"
        assert "ca_file" in error.remedy
    assert not waits


def test_a_server_may_be_its_own_authority(
    server: OrthancServer, connect: Connect, tmp_path: Path
) -> None:
    identity = Identity(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", identity.key, "-out", identity.certificate),
        ],
        check=True,
        capture_output=True,
    )
    with NginxServer(server.url, identity) as nginx:
        assert refused(connect(nginx.url, ca_file=None)).code == "orthanc-certificate-authority"
        connect(nginx.url, ca_file=identity.certificate).system()


def test_old_tls_is_refused(
    server: OrthancServer, authority: Authority, connect: Connect, waits: list[object]
) -> None:
    options = NginxOptions(protocols="TLSv1 TLSv1.1", ciphers="DEFAULT:@SECLEVEL=0")
    with NginxServer(server.url, authority.issue("old"), options) as nginx:
        assert refused(connect(nginx.url)).code == "orthanc-tls-version"
    assert not waits


def test_addresses_that_nearly_fit(
    server: OrthancServer, nginx: NginxServer, connect: Connect, waits: list[object]
) -> None:
    plain = refused(connect(server.url.replace("http:", "https:")))
    assert (plain.code, "does not speak TLS" in plain.message) == ("orthanc-tls", True)
    encrypted = refused(connect(nginx.url.replace("https:", "http:")))
    assert (encrypted.code, "https://" in encrypted.remedy) == ("orthanc-address", True)
    moved = refused(connect(nginx.redirecting_url))
    assert (moved.code, "301" in moved.message) == ("orthanc-redirect", True)
    assert not waits


def test_a_broken_line_is_not_a_bad_certificate(nginx: NginxServer, connect: Connect) -> None:
    """The agent waits for a line; for a certificate it would stop."""
    for after in (0, 100):
        fault = LineFault(kind=FaultKind.CUT, after=after, times=None)
        with Line(nginx.url, faults=[fault]) as line:
            client = connect(line.url.replace("http:", "https:"), retries=1)
            with pytest.raises(OrthancUnavailableError):
                client.system()


def test_a_body_that_breaks_within_tls_is_asked_for_again(
    server: OrthancServer, nginx: NginxServer, connect: Connect, tmp_path: Path
) -> None:
    study = store_phantom(server, tmp_path)
    whole = connect(server.url).inventory(study.series_ids)
    # A record of TLS has up to 16 KiB: one arrives, the next is cut.
    with Line(nginx.url, faults=[LineFault(kind=FaultKind.CUT, after=25_000)]) as line:
        client = connect(line.url.replace("http:", "https:"), retries=0)
        assert client.inventory(study.series_ids) == whole
        assert line.stats().hits == 1


@pytest.fixture(scope="module")
def strict(server: OrthancServer, authority: Authority) -> Iterator[NginxServer]:
    """One that asks for client certificates."""
    options = NginxOptions(client_authority=authority.certificate)
    with NginxServer(server.url, authority.issue("strict"), options) as nginx:
        yield nginx


def test_a_client_certificate_opens_the_door(
    strict: NginxServer, authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    lab = authority.issue("lab")
    connect(strict.url, client_cert=lab.certificate, client_key=lab.key).system()
    both = tmp_path / "both.pem"
    both.write_bytes(lab.key.read_bytes() + lab.certificate.read_bytes())
    connect(strict.url, client_cert=both).system()


def test_without_a_client_certificate_it_stays_shut(strict: NginxServer, connect: Connect) -> None:
    error = refused(connect(strict.url))
    assert error.code == "orthanc-client-certificate"
    assert "asks for" in error.message


def test_a_client_certificate_that_is_not_believed(
    strict: NginxServer, authority: Authority, stranger: Authority, connect: Connect
) -> None:
    expired = authority.issue("expired", start=NOW - 9 * DAY, end=NOW - DAY)
    for identity in (stranger.issue("lab"), expired):
        error = refused(
            connect(strict.url, client_cert=identity.certificate, client_key=identity.key)
        )
        assert error.code == "orthanc-client-certificate"
        assert "refuses" in error.message


class Nobody:
    """Answers whoever got through."""

    def answer(self, _request: Request) -> tuple[Answer, None]:
        return Answer(status=200, body=b"1"), None


@contextlib.contextmanager
def alerting_server(authority: Authority, identity: Identity, version: TLSVersion) -> Iterator[str]:
    """A server that refuses clients by a TLS alert, as most but nginx do."""
    context = identity.server_context()
    context.maximum_version = version
    context.verify_mode = CERT_REQUIRED
    context.load_verify_locations(authority.certificate)
    with serving(Nobody(), context) as url:
        yield url


@pytest.mark.parametrize("version", [TLSVersion.TLSv1_2, TLSVersion.TLSv1_3])
def test_a_server_that_ends_the_handshake(
    authority: Authority,
    stranger: Authority,
    connect: Connect,
    waits: list[object],
    version: TLSVersion,
) -> None:
    with alerting_server(authority, authority.issue("alert"), version) as url:
        lab = authority.issue("lab")
        good = connect(url, client_cert=lab.certificate, client_key=lab.key)
        assert good.transport.call("GET", "/") == b"1"
        for identity in (None, stranger.issue("lab")):
            files = identity and {"client_cert": identity.certificate, "client_key": identity.key}
            error = refused(connect(url, **files or {}))
            assert "client" in error.message
            assert "certificate" in error.message
        # The server hangs up long before all of it is sent.
        with pytest.raises(FixConfigurationError):
            connect(url).transport.call("POST", "/", data=bytes(8_000_000))
        assert not waits


@pytest.fixture(scope="module")
def tokened(server: OrthancServer, authority: Authority) -> Iterator[NginxServer]:
    """One that lets in who has the token."""
    login = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    options = NginxOptions(token=TOKEN, orthanc_login=f"Basic {login}")
    with NginxServer(server.url, authority.issue("tokened"), options) as nginx:
        yield nginx


def test_a_token_in_place_of_user_and_password(tokened: NginxServer, connect: Connect) -> None:
    connect(tokened.url, user="", password="", token=TOKEN).system()
    wrong = refused(connect(tokened.url, user="", password="", token=f"{TOKEN}x"))
    assert (wrong.code, "token" in wrong.message) == ("orthanc-credentials", True)
    none = refused(connect(tokened.url, user="", password=""))
    assert (none.code, "there are none" in none.message) == ("orthanc-credentials", True)
    other = refused(connect(tokened.url))
    assert (other.code, "user name" in other.message) == ("orthanc-credentials", True)


def test_an_upload_over_the_limit_waits_and_names_the_remedy(
    nginx: NginxServer, connect: Connect, waits: list[object]
) -> None:
    client = connect(nginx.url)
    for size in (1_100_000, 12_000_000):
        with pytest.raises(OrthancUnavailableError) as caught:
            client.upload(random.Random(SEED).randbytes(size))
        assert caught.value.code == "orthanc-too-large"
        assert "client_max_body_size" in caught.value.remedy
    assert not waits


def test_a_proxy_sees_the_address_and_nothing_more(
    server: OrthancServer, nginx: NginxServer, connect: Connect, tmp_path: Path
) -> None:
    study = store_phantom(server, tmp_path / "study")
    with connect_proxy(LOGIN) as proxy:
        user, _, password = LOGIN.partition(":")
        client = connect(
            nginx.url, proxy=proxy.url, proxy_user=user, proxy_password=password, connections=3
        )
        assert len(fetch(client, study, tmp_path / "out")) == 4 * study.instances
        # An Orthanc that rests for a second closes a connection; then it is opened again.
        assert set(proxy.targets) == {nginx.url.removeprefix("https://")}
        assert len(proxy.heads) < study.instances
        login = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
        assert login not in "".join(proxy.heads)


def test_a_proxy_that_wants_another_password(
    nginx: NginxServer, connect: Connect, waits: list[object]
) -> None:
    with connect_proxy(LOGIN) as proxy:
        error = refused(connect(nginx.url, proxy=proxy.url))
        assert error.code == "orthanc-proxy-credentials"
        wrong = connect(nginx.url, proxy=proxy.url, proxy_user="x", proxy_password="wrong-4711")
        assert refused(wrong).code == "orthanc-proxy-credentials"
        assert len(proxy.heads) == 2
    assert not waits


def test_a_proxy_that_does_not_connect(nginx: NginxServer, connect: Connect) -> None:
    with connect_proxy(refuses="403 Forbidden") as proxy:
        assert refused(connect(nginx.url, proxy=proxy.url)).code == "orthanc-proxy"
    with connect_proxy(refuses="502 Bad Gateway") as proxy:
        check_unavailable(connect(nginx.url, proxy=proxy.url, retries=0), "The proxy cannot reach")
    gone = f"http://127.0.0.1:{free_port()}"
    check_unavailable(connect(nginx.url, proxy=gone, retries=0), "The proxy to Orthanc")


def check_unavailable(client: OrthancClient, text: str) -> None:
    with pytest.raises(OrthancUnavailableError, match=text):
        client.system()


def test_behind_a_proxy_a_bad_certificate_is_still_named(
    nginx: NginxServer, connect: Connect, waits: list[object]
) -> None:
    with connect_proxy() as proxy:
        client = connect(nginx.url, proxy=proxy.url, ca_file=None)
        assert refused(client).code == "orthanc-certificate-authority"
    assert not waits


def test_the_environment_changes_nothing(
    nginx: NginxServer,
    authority: Authority,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither whom we trust, nor which way requests go, nor who we are."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    with connect_proxy() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, str(authority.certificate))
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        connect(nginx.url).system()
        assert refused(connect(nginx.url, ca_file=None)).code == "orthanc-certificate-authority"
        anonymous = refused(connect(nginx.url, user="", password=""))
        assert "there are none" in anonymous.message
        assert not proxy.heads
    assert not (tmp_path / "keys").exists()


def test_a_proxy_of_the_settings_is_used_whatever_the_environment_excludes(
    nginx: NginxServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with connect_proxy() as proxy:
        connect(nginx.url, proxy=proxy.url).system()
        assert proxy.targets


def test_a_file_that_is_missing_is_told_before_the_first_request(
    nginx: NginxServer, tmp_path: Path
) -> None:
    settings = OrthancSettings(url=nginx.url, ca_file=tmp_path / "none.pem")
    with pytest.raises(SegRelayError) as caught:
        OrthancTransport(settings)
    assert caught.value.code == "orthanc-ca-file"
