"""Whether a host of an address is this computer."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str | None) -> bool:
    """Return whether a host, a name or an address as ``urlsplit`` gives it, is this computer.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("10.0.0.1"), is_loopback(None)
    (True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return host is not None and ip_address(host).is_loopback
    except ValueError:
        return False
