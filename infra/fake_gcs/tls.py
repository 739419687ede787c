"""How the fake speaks TLS: gsutil speaks https only."""

from __future__ import annotations

import ssl

from infra.servers.certificates import Identity

__all__ = ["server_context"]


def server_context(identity: Identity) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    return context
