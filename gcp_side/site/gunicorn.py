"""Settings of gunicorn: ``gunicorn -c python:gcp_side.site.gunicorn gcp_side.site.wsgi``.

Volumes are kept in a process's memory, so a few threads in few processes serve best; the page
asks once a second and holds no connection. A request reaches a thread only when it is whole, so
that the site can be served with and without a proxy before it. Beside the workers runs
``labseg sync --watch``, unless ``SEGRELAY_SYNC`` is 0.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Any

from gcp_side.site.environment import flag
from gcp_side.site.sync import STOP_LIMIT

worker_class = "gcp_side.site.worker.WholeRequestWorker"
workers = 2
threads = 8

timeout = 120
"""Seconds; a volume of a large series over a slow line to Orthanc takes some."""

graceful_timeout = 30
"""Seconds for requests under way when the site is stopped."""

control_socket_disable = True
"""It would be a file below the home, which an account of a container does not have."""

accesslog = "-"
access_log_format = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(M)s ms'
"""The path without its query, and no referrer: a search (``?q=``) may be a patient's name."""

_beside: list[subprocess.Popen[bytes]] = []


def when_ready(server: Any) -> None:
    """The site listens: keep its jobs up to date as well."""
    if flag("SEGRELAY_SYNC", default=True):
        command = [sys.executable, "-m", "gcp_side.site.sync"]
        _beside.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))  # noqa: S603 (a constant)
        server.log.info("labseg sync started beside the site (SEGRELAY_SYNC=0: not)")


def on_exit(server: Any) -> None:  # noqa: ARG001
    """The site ends, and what runs beside it."""
    for process in _beside:
        process.terminate()
    for process in _beside:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT + 1)
