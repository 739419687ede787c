"""Files that TLS needs: each that cannot be used is told at start, with what to do."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from infra.servers.certificates import Authority, Identity
from segrelay.errors import FixConfigurationError
from segrelay.orthanc import OrthancSettings, check_usable
from segrelay.orthanc.tls import client_context
from segrelay.orthanc.transport import OrthancTransport

URL = "https://orthanc.example.org"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def lab(authority: Authority) -> Identity:
    return authority.issue("lab")


def problem(**fields: object) -> FixConfigurationError:
    """What both ways to start say."""
    settings = OrthancSettings.model_validate({"url": URL, **fields})
    with pytest.raises(FixConfigurationError) as caught:
        OrthancTransport(settings)
    with pytest.raises(FixConfigurationError) as checked:
        check_usable(settings)
    assert (checked.value.message, checked.value.code) == (caught.value.message, caught.value.code)
    assert caught.value.remedy
    return caught.value


def test_tls_is_new_and_everything_is_checked(authority: Authority) -> None:
    for ca_file in (None, authority.certificate):
        context = client_context(OrthancSettings(url=URL, ca_file=ca_file))
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


def test_an_authority_that_cannot_be_read(tmp_path: Path) -> None:
    error = problem(ca_file=tmp_path / "none.pem")
    assert (error.code, "No such file" in error.message) == ("orthanc-ca-file", True)
    assert problem(ca_file=tmp_path).code == "orthanc-ca-file"


@pytest.mark.parametrize("content", [b"", b"\x30\x82\x01", b"-----BEGIN CERTIFICATE-----\nx\n"])
def test_an_authority_that_is_no_certificate(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    error = problem(ca_file=file)
    assert (error.code, "openssl x509" in error.remedy) == ("orthanc-ca-file", True)


def test_a_certificate_and_its_key_that_fit(lab: Identity) -> None:
    check_usable(OrthancSettings(url=URL, client_cert=lab.certificate, client_key=lab.key))


def test_a_certificate_or_key_that_is_missing(lab: Identity, tmp_path: Path) -> None:
    none = tmp_path / "none.pem"
    for fields, name in (
        ({"client_cert": none}, "client_cert"),
        ({"client_cert": lab.certificate, "client_key": none}, "client_key"),
        ({"client_key": lab.key}, "client_key"),
    ):
        error = problem(**fields)
        assert (error.code, name in error.message) == ("orthanc-client-certificate", True)


def test_a_key_of_another_certificate(authority: Authority, lab: Identity) -> None:
    error = problem(client_cert=lab.certificate, client_key=authority.issue("other").key)
    assert (error.code, "belong" in error.message) == ("orthanc-client-certificate", True)


def test_a_certificate_without_a_key_in_it(lab: Identity) -> None:
    error = problem(client_cert=lab.certificate)
    assert (error.code, "private key" in error.remedy) == ("orthanc-client-certificate", True)


def test_a_locked_key_does_not_ask_at_the_terminal(lab: Identity, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(lab.key.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    error = problem(client_cert=lab.certificate, client_key=locked)
    assert (error.code, "openssl pkey" in error.remedy) == ("orthanc-client-certificate", True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_that_this_account_may_not_read(lab: Identity) -> None:
    lab.key.chmod(0)
    error = problem(client_cert=lab.certificate, client_key=lab.key)
    assert (error.code, "account" in error.remedy) == ("orthanc-client-certificate", True)


def test_plain_http_needs_no_file(tmp_path: Path) -> None:
    check_usable(OrthancSettings(url="http://127.0.0.1:8042", ca_file=tmp_path / "none.pem"))
