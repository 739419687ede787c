"""Where Orthanc is and how to get in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from urllib3.util import parse_url

from segrelay.errors import FixConfigurationError
from segrelay.http.loopback import is_loopback
from segrelay.system.nearest import nearest

_PAGE = re.compile(r"/(?:app/[^/]*\.html|ui/app(?:/(?:[^/]*\.html)?)?)$")
"""A page of Orthanc Explorer, the first and the second; the REST API lies above it."""

_SCHEMES = ("https", "http")


class OrthancSettings(BaseModel):
    """Address, credentials and limits; :meth:`checked` says whether they make sense."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """``https://host[:port][/path]``; plain http only to this machine, unless allowed."""
    user: str = ""
    password: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    """Sent as ``Authorization: Bearer …``, in place of user and password."""
    token_command: tuple[str, ...] = ()
    """Program and arguments of a command that prints the token; run again when it is refused."""
    ca_file: Path | None = None
    """A PEM file to trust instead of the public authorities."""
    client_cert: Path | None = None
    """A PEM file with this side's certificate, and those between it and its authority."""
    client_key: Path | None = None
    """Its key, without a password; in ``client_cert`` unless given."""
    proxy: str = ""
    """``http://host:port`` of a forward proxy; what the environment says of one is ignored."""
    proxy_user: str = ""
    proxy_password: SecretStr = SecretStr("")
    allow_plain_http: bool = False
    """Send credentials and images unencrypted to another machine: only inside a VPN."""
    connections: Annotated[int, Field(ge=1, le=64)] = 12
    """Parallel requests; each open connection holds one of Orthanc's 50 threads (its default)."""
    transfer: Literal["auto", "pool", "archive"] = "auto"
    """Instances one by one (``pool``) or as compressed archives; ``auto`` sees what is faster."""
    verify_md5: bool = False
    """Compare each instance with the MD5 that Orthanc has of it: one more request for each."""
    connect_timeout: Annotated[float, Field(gt=0)] = 10.0
    """Seconds."""
    read_timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds without a single byte before a transfer counts as broken."""
    retries: Annotated[int, Field(ge=0)] = 4
    """Repeats of one request on network errors and 429, 500, 502, 503, 504."""

    @property
    def is_exposed(self) -> bool:
        """Whether credentials and images cross a network unencrypted."""
        parts = urlsplit(self.url)
        if parts.scheme != "http":
            return False
        return bool(self.proxy) or not is_loopback(parts.hostname)

    def checked(self) -> OrthancSettings:
        """Itself, with the address tidied; opens no file.

        Raises
        ------
        FixConfigurationError
            ``orthanc-address``, ``orthanc-plain-http``, ``orthanc-two-credentials``,
            ``orthanc-token``, ``orthanc-client-certificate`` or ``orthanc-proxy``;
            ``configuration``: a user name with a colon.
        """
        _check_address(self.url)
        token = self.token.get_secret_value()
        _check_credentials(self.user, token, has_token=bool(token or self.token_command))
        if self.client_key is not None and self.client_cert is None:
            raise FixConfigurationError(
                "There is a key for Orthanc (client_key) and no certificate.",
                code="orthanc-client-certificate",
                remedy="Set client_cert to the certificate that belongs to the key.",
            )
        _check_proxy(self.proxy)
        if self.is_exposed and not self.allow_plain_http:
            raise FixConfigurationError(
                "Plain http to another machine would show password and images to the network.",
                code="orthanc-plain-http",
                remedy="Use https, or set allow_plain_http where a VPN protects the way.",
            )
        return self.model_copy(
            update={"url": self.url.rstrip("/"), "proxy": self.proxy.rstrip("/")}
        )


def _check_address(url: str) -> None:
    parts = _split(url)
    if parts is None or parts.scheme not in _SCHEMES or parts.hostname in _SCHEMES:
        if meant := _suggestion(url):
            raise FixConfigurationError(
                "The Orthanc address is not an http(s) address.",
                code="orthanc-address",
                remedy=f"Did you mean {meant}?",
            )
        raise FixConfigurationError(
            "The Orthanc address is not an http(s) address.",
            code="orthanc-address",
            remedy="Set it to something like https://orthanc.example.org.",
        )
    if parts.username or parts.password:
        raise FixConfigurationError(
            "The Orthanc address contains a user name or password.",
            code="orthanc-address",
            remedy="Give user and password as settings of their own, not in the address.",
        )
    if parts.query or parts.fragment or _PAGE.search(parts.path):
        above = _PAGE.sub("", parts.path).rstrip("/")
        raise FixConfigurationError(
            "The Orthanc address is that of a page, or goes on after ? or #.",
            code="orthanc-address",
            remedy=f"Did you mean {parts.scheme}://{parts.netloc}{above}?",
        )


def _suggestion(url: str) -> str:
    """Suggest a correction of the beginning of an address; empty where none is known."""
    found = re.fullmatch(r"(\w+)(:?/+)([^/@]+[^@]*)", url.strip())
    if found is None:
        return ""
    begin, between, rest = found.groups()
    scheme = nearest(begin, _SCHEMES)
    if scheme is None or (between == "/" and begin not in _SCHEMES):
        return ""
    meant = f"{scheme}://{rest}" if not rest.startswith(("http:", "https:")) else rest
    parts = _split(meant)
    is_right = parts is not None and parts.hostname not in _SCHEMES and meant != url
    return meant if is_right else ""


def _check_credentials(user: str, token: str, *, has_token: bool) -> None:
    if user and has_token:
        raise FixConfigurationError(
            "There are both a user and a token for Orthanc.",
            code="orthanc-two-credentials",
            remedy="Keep the one that Orthanc's server asks for: user and password, or the token.",
        )
    if ":" in user:
        # RFC 7617, section 2: what follows the first colon would be sent as the password.
        raise FixConfigurationError(
            "The user name for Orthanc holds a colon, which ends a name in Basic authentication.",
            remedy="Give the name alone, and the password apart from it.",
        )
    if not all("!" <= character <= "~" for character in token):
        raise FixConfigurationError(
            "The token for Orthanc has characters that no token has.",
            code="orthanc-token",
            remedy="Store it as it was given: one line of letters, digits and signs.",
        )


def _check_proxy(proxy: str) -> None:
    if not proxy:
        return
    parts = _split(proxy)
    if parts is None or parts.scheme != "http" or parts.path.strip("/") or parts.query:
        raise FixConfigurationError(
            "The proxy's address is not of the form http://host:port.",
            code="orthanc-proxy",
            remedy="Set orthanc.proxy to something like http://proxy.example.org:3128.",
        )
    if parts.username or parts.password:
        raise FixConfigurationError(
            "The proxy's address contains a user name or password.",
            code="orthanc-proxy",
            remedy="Set proxy_user, and keep the password as a secret, not in the address.",
        )


def _split(url: str) -> SplitResult | None:
    """The parts of an address with a host that can be looked up; None where it is none."""
    try:
        parts = urlsplit(url)
        # Both raise ValueError at a host that no connection takes: spaces, empty or long labels.
        host = parse_url(url).host or ""
        if ":" not in host:
            host.encode("idna")
        # Reading the port is what checks it.
        return parts if host and host[0] != "*" and parts.hostname and parts.port != 0 else None
    except ValueError:
        return None
