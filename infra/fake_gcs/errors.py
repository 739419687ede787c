"""Refusals in the form in which Google Cloud Storage sends them.

Source: https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

from __future__ import annotations

import json


class ApiError(Exception):
    """A request that is refused; nothing was changed.

    Parameters
    ----------
    status:
        HTTP status code.
    reason:
        Google's one-word reason, such as ``conditionNotMet``.
    message:
        What a person reads.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    def body(self) -> bytes:
        """The JSON error document; empty for 304, which has no body."""
        if self.status == 304:
            return b""
        item = {"message": self.message, "domain": "global", "reason": self.reason}
        error = {"code": self.status, "message": self.message, "errors": [item]}
        return json.dumps({"error": error}).encode()


def bad_request(message: str) -> ApiError:
    """400: the request makes no sense."""
    return ApiError(400, "invalid", message)


def not_found(message: str) -> ApiError:
    """404: no such bucket or object."""
    return ApiError(404, "notFound", message)


def precondition_failed() -> ApiError:
    """412: a condition of the request does not hold."""
    return ApiError(
        412,
        "conditionNotMet",
        "At least one of the pre-conditions you specified did not hold.",
    )
