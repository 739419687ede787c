"""Where Orthanc is and how to get in."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from common.errors import FixConfigurationError


class OrthancSettings(BaseModel):
    """Address, credentials and limits; :meth:`checked` says whether they make sense."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """``https://host[:port][/path]``; plain http only to this machine, unless allowed."""
    user: str = ""
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None
    """A PEM file to trust instead of the public authorities."""
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

    def checked(self) -> OrthancSettings:
        """Itself, with the address tidied.

        Raises
        ------
        FixConfigurationError
            ``orthanc-address`` or ``orthanc-plain-http``.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
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
        if parts.scheme == "http" and not self.allow_plain_http and not _is_here(parts.hostname):
            raise FixConfigurationError(
                "Plain http to another machine would show password and images to the network.",
                code="orthanc-plain-http",
                remedy="Use https, or set allow_plain_http where a VPN protects the way.",
            )
        return self.model_copy(update={"url": self.url.rstrip("/")})


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
