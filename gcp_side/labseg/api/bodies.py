"""Bodies of requests: what is checked, how it is refused, and how it is described."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from gcp_side.labseg.errors import SubmissionRefusedError
from gcp_side.labseg.jobs.confirmation import REASONS, Confirm


class StrictField(serializers.Field[Any, Any, Any, Any]):
    """A JSON value of exactly this type: the framework's own fields would convert others."""

    def __init__(self, kind: type, **options: Any) -> None:
        super().__init__(**options)
        self.kind = kind

    def to_internal_value(self, data: Any) -> Any:
        """The value; ``True`` is an int in Python, and no number."""
        if type(data) is not self.kind:
            self.fail("required")
        return data


class ConfirmField(serializers.Field[Any, Any, Any, Any]):
    """What a user has confirmed."""

    def to_internal_value(self, data: Any) -> Confirm:
        """True, false, or the confirmed codes."""
        if isinstance(data, bool):
            return data
        if not isinstance(data, list) or not all(one in list(REASONS) for one in data):
            self.fail("required")
        return frozenset(data)


_PROFILE = StrictField(str, allow_null=True, default=None)
_LABELS = serializers.ListField(
    child=StrictField(str),
    allow_null=True,
    default=None,
    help_text="what an agent must have to run it; the profile's usual ones unless given",
)
_CONFIRM = ConfirmField(
    default=False,
    help_text="what a person has seen and wants all the same: true, or the codes of the "
    "reasons that were shown; a reason of another code answers 409 once more",
)


class Body(serializers.Serializer[Any]):
    """A JSON object; unknown fields are ignored, ranges and forms are left to the manifest."""

    @classmethod
    def of(cls, request: Request) -> dict[str, Any]:
        """The checked fields of a request.

        Raises
        ------
        SubmissionRefusedError
            With the code of the first wrong field.
        """
        body = cls(data=body_of(request))
        if not body.is_valid():
            raise _refusals()[next(iter(body.errors))]
        return dict(body.validated_data)


def _refusals() -> dict[str, SubmissionRefusedError]:
    """By field: how it is refused where it is missing or wrong."""
    return {
        "sequence_series_ids": SubmissionRefusedError(
            "sequence_series_ids is not a list of Orthanc series ids.", code="series-ids"
        ),
        "series": SubmissionRefusedError(
            "series is not an object of roles and Orthanc series ids.", code="series-ids"
        ),
        "profile": SubmissionRefusedError("profile is not a name.", code="profile-unknown"),
        "priority": SubmissionRefusedError(
            "priority is not a number from 0 to 9.", code="priority"
        ),
        "labels": SubmissionRefusedError("labels is not a list of texts.", code="request-invalid"),
        "force": SubmissionRefusedError("force is neither true nor false.", code="force"),
        "confirm": SubmissionRefusedError(
            "confirm is neither true, false nor a list of codes of reasons.",
            code="confirm",
            remedy=f"Give true, or a list of codes out of: {', '.join(REASONS)}.",
        ),
    }


def body_of(request: Request) -> dict[str, Any]:
    """The object that was sent; empty where something else was."""
    return request.data if isinstance(request.data, dict) else {}


class BySeries(Body):
    """``{"sequence_series_ids": [a, b, c, d]}``: Orthanc ids in channel order."""

    sequence_series_ids = serializers.ListField(child=StrictField(str))
    profile = _PROFILE
    labels = _LABELS
    confirm = _CONFIRM


class ByRole(Body):
    """``{"series": {role: Orthanc id, …}}``: one for each role of the profile."""

    series = serializers.DictField(child=StrictField(str))
    priority = StrictField(int, allow_null=True, default=None, help_text="0 to 9, 0 first")
    profile = _PROFILE
    labels = _LABELS
    confirm = _CONFIRM


class Retry(Body):
    """``{"force": true}`` tries also what has succeeded."""

    force = StrictField(bool, default=False)
    confirm = _CONFIRM
