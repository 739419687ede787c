"""The REST framework as this app uses it, whatever defaults a project gives its own endpoints.

Nothing here is read from the project's ``REST_FRAMEWORK`` but ``NUM_PROXIES``, which says what
is in front of the site.
"""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.settings import APISettings

# The framework reads the project's settings where it is given an empty dict.
OWN_SETTINGS = APISettings({"DEFAULT_VERSIONING_CLASS": None})
"""The framework's defaults."""


class OwnJSONRenderer(JSONRenderer):
    """JSON in UTF-8, without spaces, and without values that JSON does not have."""

    compact = True
    strict = True
    ensure_ascii = False


class OwnNegotiation(DefaultContentNegotiation):
    """As the framework's: ``Accept``, or ``?format=``."""

    settings = OWN_SETTINGS  # type: ignore[assignment]


class AnyAccept(OwnNegotiation):
    """An image element accepts images alone: errors are JSON all the same."""

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002
        renderers: Any,
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        """The first, whatever the client would like."""
        return renderers[0], renderers[0].media_type
