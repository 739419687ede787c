"""TLS to Orthanc: whom we trust, who we are, and what it means when it fails."""

from __future__ import annotations

import codecs
import contextlib
import ssl
from pathlib import Path

from requests.adapters import DEFAULT_CA_BUNDLE_PATH

from segrelay.errors import FixConfigurationError
from segrelay.orthanc.settings import OrthancSettings
from segrelay.parsing.text_files import why_not_utf_8
from segrelay.system.system_limits import raise_if_limit

_DATES = (9, 10)
_NAMES = (62, 64)
_AUTHORITIES = (2, 18, 19, 20, 21)
"""Codes of ``SSLCertVerificationError``: X509_V_ERR_… in OpenSSL's ``x509_vfy.h``."""

_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"}
_VERSIONS = {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"}
_NO_AGREEMENT = {"SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_INSUFFICIENT_SECURITY"}
_REFUSED_CLIENT = {
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV1_ALERT_DECRYPT_ERROR",
    "TLSV1_ALERT_UNKNOWN_CA",
}


class _KeyLockedError(Exception):
    """The key wants a password."""


def client_context(settings: OrthancSettings) -> ssl.SSLContext:
    """How this side speaks TLS: version 1.2 or later, the server's certificate always checked.

    Nothing of it comes from the environment.

    Raises
    ------
    FixConfigurationError
        ``orthanc-ca-file``, ``orthanc-client-certificate``: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    if settings.ca_file is None:
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    else:
        _trust(context, settings.ca_file)
    if settings.client_cert is not None:
        _identify(context, settings.client_cert, settings.client_key)
    return context


def check_usable(settings: OrthancSettings) -> None:
    """Whether a connection can be tried: the settings make sense, and their files can be used.

    Raises
    ------
    FixConfigurationError
        As :meth:`OrthancSettings.checked` and :func:`client_context`.
    """
    if settings.checked().url.startswith("https:"):
        client_context(settings)


def _trust(context: ssl.SSLContext, ca_file: Path) -> None:
    # Whatever is in the file is trusted, an authority in the middle of a chain as well.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError:
        raise FixConfigurationError(
            f"The file {ca_file} (ca_file) holds no certificate in PEM form"
            f"{_encoding_note(ca_file)}.",
            code="orthanc-ca-file",
            remedy="It must have lines -----BEGIN CERTIFICATE-----; a DER file is converted by: "
            "openssl x509 -inform der -in FILE -out FILE.pem",
        ) from None
    except OSError as error:
        raise_if_limit(error)
        raise FixConfigurationError(
            f"The file {ca_file} (ca_file) cannot be read ({error.strerror}).",
            code="orthanc-ca-file",
            remedy="Correct the path, or let the account that runs this read the file.",
        ) from None


def _encoding_note(path: Path) -> str:
    """``: it is UTF-16, …`` where an editor has written a file of text so."""
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        if data.startswith(codecs.BOM_UTF8):
            return ": it begins with a byte order mark"
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return f": it {why_not_utf_8(data)}"
    return ""


def _identify(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    for name, path in (("client_cert", certificate), ("client_key", key)):
        if path is not None:
            _check_readable(name, path)
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except _KeyLockedError:
        raise _client_file(
            "The key for Orthanc (client_key) is locked with a password.",
            "Unlock it into a file that only this account can read: "
            "openssl pkey -in KEY -out KEY.pem",
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _client_file(
                "The key (client_key) does not belong to the certificate (client_cert).",
                "Set both to files that were made together.",
            ) from None
        raise _client_file(
            "The client certificate or its key is not in PEM form.",
            "client_cert must hold a certificate, and client_key (or client_cert as well) its "
            "private key.",
        ) from None


def _check_readable(name: str, path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise_if_limit(error)
        raise _client_file(
            f"The file {path} ({name}) cannot be read ({error.strerror}).",
            "Correct the path, or let the account that runs this read the file.",
        ) from None


def _refuse_password() -> str:
    # Without this, OpenSSL would ask at the terminal, or a service would hang.
    raise _KeyLockedError


def _client_file(message: str, remedy: str) -> FixConfigurationError:
    return FixConfigurationError(message, code="orthanc-client-certificate", remedy=remedy)


def tls_problem(error: ssl.SSLError) -> FixConfigurationError | None:
    """Error that an operator must fix; None where the line broke, which may pass."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_problem(error)
    reason = error.reason or ""
    if reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
        return certificate_required()
    if reason in _REFUSED_CLIENT:
        return certificate_refused()
    if reason in _NO_AGREEMENT:
        return FixConfigurationError(
            "Orthanc's server ended the TLS handshake: it wants another cipher, or a client "
            "certificate.",
            code="orthanc-tls",
            remedy="Ask its operator; if it wants a certificate, set client_cert and client_key.",
        )
    if reason in _VERSIONS:
        return FixConfigurationError(
            "Orthanc's server does not speak TLS 1.2 or later.",
            code="orthanc-tls-version",
            remedy="Enable TLS 1.2 or 1.3 at the server (nginx: ssl_protocols).",
        )
    if reason in _NOT_TLS:
        return FixConfigurationError(
            "What answers at the Orthanc address does not speak TLS.",
            code="orthanc-tls",
            remedy="Check the port: https needs a server with a certificate before Orthanc.",
        )
    return None


def _certificate_problem(error: ssl.SSLCertVerificationError) -> FixConfigurationError:
    if error.verify_code in _DATES:
        return FixConfigurationError(
            "Orthanc's certificate has expired, or is not valid yet.",
            code="orthanc-certificate-date",
            remedy="Have it renewed at the server; check this computer's clock as well.",
        )
    if error.verify_code in _NAMES:
        return FixConfigurationError(
            "Orthanc's certificate is for another name than that in the address.",
            code="orthanc-certificate-name",
            remedy="Use a name that is in the certificate, or have one made for this name.",
        )
    if error.verify_code in _AUTHORITIES:
        return FixConfigurationError(
            "Orthanc's certificate is of an authority that is not trusted here.",
            code="orthanc-certificate-authority",
            remedy="Set ca_file to the authority's certificate. If that is a public one, the "
            "server must send the certificates in between as well.",
        )
    return FixConfigurationError(
        f"Orthanc's certificate cannot be trusted ({error.verify_message}).",
        code="orthanc-tls",
        remedy="Have a certificate made that today's TLS accepts.",
    )


def certificate_required() -> FixConfigurationError:
    """The server wants to know who we are."""
    return FixConfigurationError(
        "Orthanc's server asks for a client certificate.",
        code="orthanc-client-certificate",
        remedy="Set client_cert and client_key to the files that its operator gave you.",
    )


def certificate_refused() -> FixConfigurationError:
    """The server does not believe who we are."""
    return FixConfigurationError(
        "Orthanc's server refuses this side's client certificate.",
        code="orthanc-client-certificate",
        remedy="It may have expired, or be of an authority that the server does not trust: ask "
        "its operator for a new one.",
    )
