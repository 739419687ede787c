"""Limits by user; the rates come from ``SEGRELAY``."""

from __future__ import annotations

from rest_framework.throttling import AnonRateThrottle, UserRateThrottle

from gcp_side.labseg.conf import get_conf


class SubmitThrottle(UserRateThrottle):
    """Requests for a segmentation."""

    scope = "labseg-submit"

    def get_rate(self) -> str:
        """``SUBMIT_RATE``."""
        return get_conf().submit_rate


class ReadThrottle(UserRateThrottle):
    """Everything else."""

    scope = "labseg-read"

    def get_rate(self) -> str:
        """``READ_RATE``."""
        return get_conf().read_rate


class PushThrottle(AnonRateThrottle):
    """Notifications, by address: each token costs a request for Google's keys."""

    scope = "labseg-push"

    def get_rate(self) -> str:
        """``READ_RATE``."""
        return get_conf().read_rate
