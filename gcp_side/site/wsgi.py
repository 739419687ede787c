"""WSGI entry point: ``gunicorn -c python:gcp_side.site.gunicorn gcp_side.site.wsgi``."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gcp_side.site.settings")

application = get_wsgi_application()
