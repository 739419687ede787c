"""Which process this is, and whether another process of this host still lives."""

from __future__ import annotations

import os
import socket

import psutil

from common.queue import Identity
from common.queue.lease import new_nonce

START_TOLERANCE = 2.0
"""Seconds; the start time of one process can be read differently after a clock step."""


def this_process() -> Identity:
    """The identity of the running process."""
    return Identity(
        instance=new_nonce(),
        host=socket.gethostname(),
        pid=os.getpid(),
        pid_started=psutil.Process().create_time(),
    )


def is_dead(identity: Identity) -> bool:
    """Whether that process certainly ended: it ran on this host and is gone."""
    if identity.host != socket.gethostname():
        return False
    try:
        process = psutil.Process(identity.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        started = process.create_time()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return abs(started - identity.pid_started) > START_TOLERANCE
