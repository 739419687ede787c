"""The answers of the endpoints: JSON and the OpenAPI description are made from these."""

from __future__ import annotations

from typing import Any

from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    FloatField,
    IntegerField,
    ListField,
)

from gcp_side.labseg.api import serializers as parts
from gcp_side.labseg.jobs.waiting import why_waiting
from gcp_side.labseg.models import State


class RefusalSerializer(parts.Shape):
    """What was refused, and why."""

    success = BooleanField(read_only=True, default=False)
    error = CharField()
    code = CharField(required=False)
    remedy = CharField(required=False)
    detail = CharField(required=False)
    reasons = parts.ReasonSerializer(
        many=True,
        required=False,
        help_text="with 409 and confirmation-needed: what is to be confirmed",
    )


class AnswerSerializer(parts.Shape):
    """A successful answer."""

    success = BooleanField(read_only=True, default=True)


class PageSerializer(AnswerSerializer):
    """One page of a list."""

    count = IntegerField()
    page = IntegerField()
    page_size = IntegerField()


class AcceptedSerializer(AnswerSerializer):
    """A new job."""

    request_id = CharField(source="job.job_id")
    status = CharField(source="job.state")
    profile = CharField(source="job.profile")


class StatusSerializer(AnswerSerializer, parts.RequestSerializer):
    """One job, and why it waits."""

    waiting = parts.Computed(parts.WaitingSerializer(allow_null=True), why_waiting)


class CancelSerializer(AnswerSerializer, parts.RequestSerializer):
    """One job after its cancellation was asked for."""

    cancelled = parts.Computed(BooleanField(), lambda job: job.state == State.CANCELLED)


def answer(
    name: str, base: type[AnswerSerializer] = AnswerSerializer, /, **fields: parts.AnyField
) -> type[AnswerSerializer]:
    """The serializer of an answer that has these fields beside those of ``base``."""
    return type(f"{name}Serializer", (base,), {"__doc__": base.__doc__, **fields})


SeriesAccepted = answer("SeriesAccepted", AcceptedSerializer, series_id=CharField())
StudyAccepted = answer("StudyAccepted", AcceptedSerializer, study_id=CharField())
RetryAccepted = answer(
    "RetryAccepted", AcceptedSerializer, is_new=BooleanField(), retry_of=CharField()
)
RequestsPage = answer("RequestsPage", PageSerializer, requests=parts.RequestSerializer(many=True))
StudiesPage = answer("StudiesPage", PageSerializer, studies=parts.StudySerializer(many=True))
EventsAnswer = answer("Events", events=parts.EventSerializer(many=True))
StudyAnswer = answer(
    "StudyAnswer",
    study=parts.StudySerializer(),
    series=parts.SeriesSerializer(many=True),
    profile=CharField(),
    roles=parts.RecognisedRoleSerializer(many=True),
    requests=parts.RequestSerializer(many=True),
    missing_reports=ListField(
        child=CharField(),
        help_text="report_instance_id of requests whose report is not in Orthanc",
    ),
)
AgentsAnswer = answer(
    "Agents",
    agents=parts.AgentSerializer(many=True),
    online=IntegerField(),
    last_seen=parts.TimeField(allow_null=True),
)
ProfilesAnswer = answer("Profiles", profiles=parts.ProfileSerializer(many=True))
HealthAnswer = answer(
    "Health",
    status=CharField(help_text="ok or degraded"),
    queue=CharField(),
    orthanc=CharField(),
    sync=CharField(),
    last_sync=parts.TimeField(allow_null=True),
    agents_online=IntegerField(),
    version=CharField(),
)


class FrameSerializer(parts.Shape):
    """One slice of a mask."""

    index = IntegerField(help_text="slice in displayed order, from 0")
    mask_base64 = CharField(help_text="PNG, 8 bits, 0 or 255")


class WindowSerializer(parts.Shape):
    """Window of the values after slope and intercept."""

    center = FloatField()
    width = FloatField()


class OverlaySegmentSerializer(parts.MeasuredSegmentSerializer):
    """One segment of a SEG as the page draws it."""

    colour = ListField(child=IntegerField(), help_text="sRGB, 0 to 255")


def _row(child: parts.AnyField, count: int, text: str | None = None, **options: Any) -> ListField:
    """A list of exactly so many."""
    return ListField(child=child, min_length=count, max_length=count, help_text=text, **options)


def _grid() -> dict[str, parts.AnyField]:
    affine = "4 x 4, row by row: (column, row, slice, 1) to LPS millimetres"
    return {
        "series_id": CharField(),
        "shape": _row(IntegerField(), 3, "slices, rows, columns, in displayed order"),
        "affine": parts.Computed(
            _row(FloatField(), 16, affine), lambda grid: grid["affine"].ravel()
        ),
    }


FramesAnswer = answer("Frames", num_frames=IntegerField(), frames=FrameSerializer(many=True))
GeometryAnswer = answer(
    "Geometry",
    **_grid(),
    dtype=ChoiceField(source="dtype.name", choices=["uint16", "int16"]),
    window=parts.Computed(
        WindowSerializer(), lambda grid: dict(zip(("center", "width"), grid["window"], strict=True))
    ),
    slope=FloatField(),
    intercept=FloatField(),
    instances=ListField(child=CharField(), help_text="Orthanc ids, in displayed order"),
)
OverlayAnswer = answer(
    "Overlay",
    **_grid(),
    box=_row(
        _row(IntegerField(), 2),
        3,
        "half-open ranges of slices, rows, columns; empty without a voxel",
    ),
    segments=OverlaySegmentSerializer(many=True),
    slices=ListField(child=IntegerField(), help_text="with a voxel, in displayed order"),
    centre=_row(IntegerField(), 3, "slice, row, column amid the largest segment", allow_null=True),
    labels_url=CharField(),
)
