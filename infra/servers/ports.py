"""Free loopback ports for servers that cannot choose one themselves."""

from __future__ import annotations

import random
import socket

from segrelay.errors import FixConfigurationError

_PORTS = range(20_000, 32_768)
"""Below what Linux gives to outgoing connections, so that a server that was stopped finds its
port still free when it comes back."""

_TRIES = 200

_handed_out: set[int] = set()


def free_port() -> int:
    """A TCP port that is free now and was not handed out before by this process.

    Another program may still take it before it is used, so the caller that starts a server on it
    must check that its own child answers there.

    Raises
    ------
    FixConfigurationError
        None was found.
    """
    for port in random.SystemRandom().sample(_PORTS, _TRIES):
        if port not in _handed_out and _is_free(port):
            _handed_out.add(port)
            return port
    raise FixConfigurationError(
        f"No free port between {_PORTS.start} and {_PORTS.stop - 1} in {_TRIES} tries.",
        code="no-free-port",
        remedy="Stop servers on this machine that are not needed.",
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Bound on every address, as Orthanc binds so: a port taken on one is of no use.
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
