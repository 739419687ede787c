"""Throw-away certificates for servers on loopback, and for the clients that they ask."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme

LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Two PEM files."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """A server's side of TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Signs certificates; its own is the file ``certificate``, for those who trust it.

    Parameters
    ----------
    folder:
        Where all files go.
    name:
        Of the authority and its files.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._authority = trustme.CA(organization_name=name)
        self.certificate = folder / f"{name}-cert.pem"
        self._authority.cert_pem.write_to_path(self.certificate)

    def issue(
        self,
        name: str,
        *,
        hosts: Sequence[str] = LOOPBACK,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Identity:
        """A certificate for ``hosts`` (names and addresses)."""
        issued = self._authority.issue_cert(
            *hosts, common_name=name, not_before=start, not_after=end
        )
        written = Identity(
            certificate=self._folder / f"{name}-cert.pem", key=self._folder / f"{name}-key.pem"
        )
        issued.cert_chain_pems[0].write_to_path(written.certificate)
        written.key.touch(mode=0o600)
        issued.private_key_pem.write_to_path(written.key)
        return written
