"""Ports that nobody else has."""

from __future__ import annotations

import socket

from infra.servers.ports import free_port


def test_ports_are_free_and_never_handed_out_twice() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)
    with socket.socket() as server:
        server.bind(("127.0.0.1", ports[0]))
