"""The connections to Orthanc: directly or over a proxy, and what each request carries."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

from urllib3 import PoolManager, ProxyManager

from segrelay.http.deadline_http import deadline_pools
from segrelay.orthanc.settings import OrthancSettings
from segrelay.orthanc.tls import client_context

SLOWEST_BYTES_S = 1000
"""An answer that comes slower than this, over one time-out, counts as broken."""


def make_pools(settings: OrthancSettings) -> PoolManager:
    """One pool that keeps connections open; who finds none free gets a new one.

    Raises
    ------
    FixConfigurationError
        A certificate or key cannot be used.
    """
    # What a stopped download leaves behind in a hung answer must not keep an upload waiting.
    options: dict[str, Any] = {"num_pools": 1, "maxsize": 2 * settings.connections, "block": False}
    if settings.url.startswith("https:"):
        options["ssl_context"] = client_context(settings)
    if settings.proxy:
        pools: PoolManager = ProxyManager(
            settings.proxy, proxy_headers=_proxy_headers(settings), **options
        )
    else:
        pools = PoolManager(**options)
    pools.pool_classes_by_scheme = deadline_pools(settings.read_timeout, SLOWEST_BYTES_S)
    return pools


def request_base(settings: OrthancSettings) -> str:
    """Prefix of a call's path in the request: a proxy needs the whole address.

    One for https gets it by CONNECT.
    """
    if settings.proxy and settings.url.startswith("http:"):
        return settings.url
    return urlsplit(settings.url).path


def request_headers(settings: OrthancSettings) -> dict[str, str]:
    """Headers of every request."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "segrelay"}
    if token := settings.token.get_secret_value():
        headers["Authorization"] = f"Bearer {token}"
    elif settings.user:
        headers["Authorization"] = _basic(settings.user, settings.password.get_secret_value())
    return headers


def _proxy_headers(settings: OrthancSettings) -> dict[str, str]:
    if not settings.proxy_user:
        return {}
    password = settings.proxy_password.get_secret_value()
    return {"Proxy-Authorization": _basic(settings.proxy_user, password)}


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
