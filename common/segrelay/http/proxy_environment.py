"""Checks the proxies and authorities of the environment for what no retry cures.

``requests``, which Google's client uses, follows these variables; a wrong one fails every
request alike. It is said at the start, by the variable's name and never by its value, which may
hold a password.
Source: https://requests.readthedocs.io/en/latest/user/advanced/#proxies and #ssl-cert-verification
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit

from requests import exceptions
from requests.utils import get_environ_proxies, select_proxy

from segrelay.errors import FixConfigurationError
from segrelay.http.certificate_fault import certificate_fault
from segrelay.system.causes import causes
from segrelay.system.system_limits import raise_if_limit

AUTHORITY_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""Each may name a file of certificates."""

_SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (4[0-9]{2})")
_TRANSIENT = ("408", "425", "429")


def check_surroundings(address: str, environment: Mapping[str, str] | None = None) -> None:
    """Check that a request to ``address`` can be made at all in this environment.

    Raises
    ------
    FixConfigurationError
        ``bucket-proxy``: the proxy's address cannot be used.
        ``ca-bundle``: a variable names a file of certificates that is none.
    """
    environment = os.environ if environment is None else environment
    proxy = select_proxy(address, get_environ_proxies(address))
    if proxy is not None:
        _check_proxy(proxy, _variable_of(urlsplit(address).scheme, environment))
    if urlsplit(address).scheme == "https":
        check_authorities(environment)


def check_authorities(environment: Mapping[str, str]) -> None:
    """Check the files of certificates that variables of the environment name.

    Raises
    ------
    FixConfigurationError
        ``ca-bundle``
    """
    for variable in AUTHORITY_VARIABLES:
        if environment.get(variable):
            check_certificates(environment[variable], variable)


def lasting_fault(error: BaseException, address: str) -> FixConfigurationError | None:
    """Return what is wrong for good behind a failed connection; None where it may pass.

    A certificate that is refused after others were accepted may be a transient failure of what
    lies in between: whether it is final, the caller decides.
    """
    for cause in causes(error):
        found = _fault(cause, address)
        if found is not None:
            return found
    return None


def silent_proxy(error: BaseException, address: str) -> str:
    """The variable that names a proxy which does not answer; empty where it is no proxy's fault."""
    if not any(isinstance(cause, exceptions.ProxyError) for cause in causes(error)):
        return ""
    return _variable_of(urlsplit(address).scheme, os.environ)


def proxy_refused(status: int | str, address: str) -> FixConfigurationError:
    """The proxy answers and lets nothing through."""
    variable = _variable_of(urlsplit(address).scheme, os.environ)
    if str(status) == "407":
        return FixConfigurationError(
            f"The proxy in {variable} refuses its user or password (407).",
            code="bucket-proxy",
            remedy=f"Write user and password into {variable} as http://USER:PASSWORD@HOST:PORT, "
            "with %40 for @ and %20 for a space.",
        )
    return FixConfigurationError(
        f"The proxy in {variable} lets nothing through to the queue ({status}).",
        code="bucket-proxy",
        remedy="Have the proxy allow the queue's host: that of the site, or "
        "storage.googleapis.com and oauth2.googleapis.com.",
    )


def _check_proxy(proxy: str, variable: str) -> None:
    if any(character.isspace() or not character.isprintable() for character in proxy):
        raise _bad_proxy(variable, "holds a space or a control character")
    scheme, mark, rest = proxy.partition("://")
    if not mark:
        raise _bad_proxy(variable, "has no scheme")
    try:
        has_host = bool(urlsplit(f"http://{rest}").hostname)
        _ = urlsplit(f"http://{rest}").port
    except ValueError:
        has_host = False
    if not has_host:
        raise _bad_proxy(variable, "names no host and port that can be used")
    if scheme.lower() in _SOCKS:
        if find_spec("socks") is None:
            raise FixConfigurationError(
                f"{variable} names a SOCKS proxy, and the package PySocks is not installed.",
                code="bucket-proxy",
                remedy="Install it into this program's environment: pip install PySocks; or use "
                "an http proxy.",
            )
    elif scheme.lower() not in ("http", "https"):
        raise _bad_proxy(variable, "has a scheme that is not http, https or socks5h")


def _bad_proxy(variable: str, why: str) -> FixConfigurationError:
    return FixConfigurationError(
        f"The proxy's address in {variable} {why}.",
        code="bucket-proxy",
        remedy=f"Write {variable}=http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT with %40 for "
        "@ and %20 for a space; or unset it.",
    )


def check_certificates(path: str, variable: str) -> None:
    """Check a file of certificates, or a folder of them.

    Parameters
    ----------
    variable:
        The variable or setting that names it.

    Raises
    ------
    FixConfigurationError
        ``ca-bundle``
    """
    try:
        if os.path.isdir(path):
            if variable not in AUTHORITY_VARIABLES[:-1] or not os.listdir(path):
                raise _bad_authorities(variable, "is a folder without certificates")
            return
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise _bad_authorities(variable, "holds no certificate in PEM form") from None
    except (OSError, ValueError) as error:
        raise_if_limit(error)
        why = getattr(error, "strerror", None) or "not a path"
        raise _bad_authorities(variable, f"cannot be read ({why})") from None


def _bad_authorities(variable: str, why: str) -> FixConfigurationError:
    return FixConfigurationError(
        f"The file that {variable} names {why}.",
        code="ca-bundle",
        remedy=f"Let {variable} name a file of trusted certificates in PEM form, or unset it.",
    )


def _variable_of(scheme: str, environment: Mapping[str, str]) -> str:
    """Return where the proxy for addresses of a scheme is set, as ``urllib`` looks for it."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if environment.get(variable):
                return variable
    return "the system's settings"


def _fault(error: BaseException, address: str) -> FixConfigurationError | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return certificate_fault(error)
    if isinstance(error, ssl.SSLError) and error.reason == "NO_CERTIFICATE_OR_CRL_FOUND":
        return _bad_authorities("REQUESTS_CA_BUNDLE", "holds no certificate in PEM form")
    if isinstance(error, (exceptions.InvalidProxyURL, exceptions.InvalidSchema)):
        variable = _variable_of(urlsplit(address).scheme, os.environ)
        return _bad_proxy(variable, "cannot be used")
    if isinstance(error, OSError):
        refused = _TUNNEL_REFUSED.search(str(error))
        if refused and refused[1] not in _TRANSIENT:
            return proxy_refused(refused[1], address)
        if "suitable TLS CA certificate bundle" in str(error):
            return _bad_authorities("REQUESTS_CA_BUNDLE", "cannot be read")
    return None
