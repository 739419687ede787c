"""The site with its static files, which a web server in front of it would serve."""

from __future__ import annotations

from django.contrib.staticfiles.handlers import StaticFilesHandler

from gcp_side.site.wsgi import application as site

application = StaticFilesHandler(site)
