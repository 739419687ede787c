"""Settings of gunicorn: ``gunicorn -c python:gcp_side.site.gunicorn gcp_side.site.wsgi``.

Volumes are kept in a process's memory, so a few threads in few processes serve best; the page
asks once a second and holds no connection. A request reaches a thread only when it is whole, so
that the site can be served with and without a proxy before it.
"""

from __future__ import annotations

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
