"""Limits by user; the rates come from ``SEGRELAY``."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import AnonRateThrottle, SimpleRateThrottle, UserRateThrottle

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.host.caching import default_cache


def address_of(request: HttpRequest | Request) -> str:
    """The address of the caller, as far as it can be believed.

    The framework takes all of ``X-Forwarded-For`` unless it knows how many proxies there are, and
    everybody can write that header.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR")
    if not api_settings.NUM_PROXIES or forwarded is None:
        return str(request.META.get("REMOTE_ADDR", ""))
    addresses = forwarded.split(",")
    return str(addresses[-min(api_settings.NUM_PROXIES, len(addresses))]).strip()


class SubmitThrottle(UserRateThrottle):
    """Requests for a segmentation."""

    scope = "labseg-submit"
    cache = default_cache  # type: ignore[assignment]

    def get_rate(self) -> str:
        """``SUBMIT_RATE``."""
        return get_conf().submit_rate


class ReadThrottle(UserRateThrottle):
    """Limit of requests other than submissions."""

    scope = "labseg-read"
    cache = default_cache  # type: ignore[assignment]

    def get_rate(self) -> str:
        """``READ_RATE``."""
        return get_conf().read_rate


class PushThrottle(AnonRateThrottle):
    """Notifications, by address: each token costs a request for Google's keys."""

    scope = "labseg-push"
    cache = default_cache  # type: ignore[assignment]

    def get_ident(self, request: Request) -> str:
        """The address that can be believed."""
        return address_of(request)

    def get_rate(self) -> str:
        """``READ_RATE``."""
        return get_conf().read_rate


class QueueThrottle(SimpleRateThrottle):
    """Operations in the queue that the site keeps, by token."""

    scope = "labseg-queue"
    cache = default_cache  # type: ignore[assignment]

    def get_rate(self) -> str:
        """``QUEUE_RATE``."""
        return get_conf().queue_rate

    def get_cache_key(self, request: Request, view: object) -> str:  # noqa: ARG002
        """See the REST framework; the row's number is no secret."""
        ident = getattr(request.auth, "pk", None)
        return self.cache_format % {"scope": self.scope, "ident": ident}
