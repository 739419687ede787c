"""Throw-away certificates for servers on loopback, and for the clients that they ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["LOOPBACK", "Authority", "Identity", "self_signed"]

LOOPBACK = ("localhost", "127.0.0.1")
VALID_FOR = timedelta(days=30)
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Two PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its own is ``identity.certificate``, for those who trust it.

    Parameters
    ----------
    folder:
        Where all files go.
    name:
        Of the authority and its files.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = _builder(self._name, self._name, self._key, start=_now(), end=_later())
        self.identity = _write(
            folder,
            name,
            _as_authority(certificate, self._key).sign(self._key, hashes.SHA256()),
            self._key,
        )

    def issue(
        self,
        name: str,
        *,
        hosts: Sequence[str] = LOOPBACK,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Identity:
        """A certificate for ``hosts`` (names and addresses), valid from five minutes ago on."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _builder(
            _named(name), self._name, key, start=start or _now(), end=end or _later()
        ).add_extension(_alternatives(hosts), critical=False)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = certificate.add_extension(signer, critical=False)
        return _write(self._folder, name, certificate.sign(self._key, hashes.SHA256()), key)


def self_signed(folder: Path) -> Identity:
    """``cert.pem`` and ``key.pem`` for loopback: a server that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named(LOOPBACK[0])
    certificate = _as_authority(_builder(name, name, key, start=_now(), end=_later()), key)
    certificate = certificate.add_extension(_alternatives(LOOPBACK), critical=False)
    return _write(folder, "", certificate.sign(key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _as_authority(
    certificate: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return certificate.add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    ).add_extension(identifier, critical=False)


def _alternatives(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_alternative(host) for host in hosts])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _now() -> datetime:
    return datetime.now(UTC) - _CLOCKS_DIFFER


def _later() -> datetime:
    return datetime.now(UTC) + VALID_FOR


def _write(
    folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> Identity:
    stem = f"{name}-" if name else ""
    written = Identity(certificate=folder / f"{stem}cert.pem", key=folder / f"{stem}key.pem")
    written.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    written.key.touch(mode=0o600)
    written.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return written
