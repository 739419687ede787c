"""The OpenAPI description of the endpoints, where ``drf_spectacular`` is installed.

The shapes are written here once, as JSON Schema, and a test holds the answers against them.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.authentication import BasicScheme
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from drf_spectacular.views import SpectacularJSONAPIView
from pydantic import TypeAdapter
from rest_framework.views import APIView

from gcp_side import __version__
from gcp_side.labseg.api.agents import Agents, Health, Profiles
from gcp_side.labseg.api.base import LARGEST_PAGE, PAGE_SIZE, LabsegView
from gcp_side.labseg.api.frames import SegmentationFrames
from gcp_side.labseg.api.images import (
    SegmentationLabels,
    SegmentationOverlay,
    SegmentationOverlaySlice,
    SeriesGeometryView,
    SeriesSliceView,
    SeriesVolumeView,
)
from gcp_side.labseg.api.push import Push
from gcp_side.labseg.api.requests import (
    CancelRequest,
    RequestEvents,
    Requests,
    RetryRequest,
    SegmentationStatus,
)
from gcp_side.labseg.api.studies import Studies, Study
from gcp_side.labseg.api.submit import RequestSegmentation, RequestStudySegmentation
from gcp_side.labseg.jobs.confirmation import REASONS
from gcp_side.labseg.models import State
from gcp_side.labseg.recognition import Confidence
from segrelay.manifest import Labels

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
TIME: Schema = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
BYTES: Schema = {"type": "string", "format": "binary"}
WHOLE_OR_NULL: Schema = {"type": ["integer", "null"]}
FLAG: Schema = {"type": "boolean"}


class GuardedBasicScheme(BasicScheme):  # type: ignore[no-untyped-call]
    """To a client it is Basic authentication as any other."""

    target_class = "gcp_side.labseg.access.brute_force.GuardedBasicAuthentication"


def ref(name: str) -> Schema:
    """A component."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(of: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": of}


def row(of: Schema, count: int) -> Schema:
    """A list of just so many."""
    return array(of) | {"minItems": count, "maxItems": count}


def shape(**properties: Schema) -> Schema:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def answer(**properties: Schema) -> Schema:
    """A successful answer."""
    return shape(success={"const": True}, **properties)


def or_null(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


_STATE: Schema = {"type": "string", "enum": list(State.values)}
_TEXTS = shape(en=TEXT, ko=TEXT)
_REQUEST = {
    "request_id": TEXT,
    "status": _STATE,
    "status_text": TEXT,
    "error": TEXT_OR_NULL,
    "job_id": TEXT,
    "profile": TEXT,
    "priority": WHOLE,
    "labels": array(TEXT),
    "state": _STATE,
    "finished": FLAG,
    "agent": TEXT,
    "attempt": WHOLE,
    "stage": TEXT,
    "percent": {"type": "integer", "minimum": 0, "maximum": 100},
    "done": WHOLE,
    "total": WHOLE,
    "cancel_requested_at": TIME_OR_NULL,
    "missing_since": TIME_OR_NULL,
    "orthanc_study_id": TEXT,
    "study_instance_uid": TEXT,
    "series": array(
        shape(
            role=TEXT,
            orthanc_id=TEXT,
            series_instance_uid=TEXT,
            expected_instances=WHOLE_OR_NULL,
        )
    ),
    "seg_instance_id": TEXT_OR_NULL,
    "seg_sop_instance_uid": TEXT_OR_NULL,
    "seg_series_instance_uid": TEXT_OR_NULL,
    "report_instance_id": TEXT_OR_NULL,
    "report_sop_instance_uid": TEXT_OR_NULL,
    "report_series_instance_uid": TEXT_OR_NULL,
    "tumour_found": {"type": ["boolean", "null"]},
    "segments": array(
        shape(
            number=WHOLE,
            label=TEXT,
            voxels=WHOLE,
            volume_ml={"type": "number"},
            longest_diameter_mm={"type": ["number", "null"]},
        )
    ),
    "confirmed": array(ref("Reason"))
    | {"description": "in what the series contradict the profile; a person has confirmed it"},
    "confirmed_by": TEXT,
    "for_patients": FLAG,
    "warnings": array(TEXT),
    "provenance": {"type": ["object", "null"]},
    "failure": or_null(shape(code=TEXT, reason=TEXT, remedy=TEXT, detail=TEXT)),
    "retry_of": TEXT_OR_NULL,
    "submitted_at": TIME,
    "updated_at": TIME,
    "finished_at": TIME_OR_NULL,
}
_WAITING = shape(
    kind={
        "type": "string",
        "enum": ["no-queue", "no-agent", "no-profile", "no-labels", "not-claiming", "in-line"],
    },
    text=TEXT,
    since=TIME_OR_NULL,
)
_STUDY = {
    "study_id": TEXT,
    "study_instance_uid": TEXT,
    "patient_name": TEXT,
    "patient_id": TEXT,
    "date": {"type": ["string", "null"], "format": "date"},
    "description": TEXT,
    "modalities": array(TEXT),
    "series": WHOLE,
    "latest_request": or_null(ref("Request")),
}
_ROLE = {"role": TEXT, "title": _TEXTS}

_AFFINE = row(NUMBER, 16) | {
    "description": "4 x 4, row by row: (column, row, slice, 1) to LPS millimetres"
}
_SHAPE = row(WHOLE, 3) | {"description": "slices, rows, columns, in displayed order"}
_GEOMETRY = {
    "series_id": TEXT,
    "shape": _SHAPE,
    "affine": _AFFINE,
    "dtype": {"type": "string", "enum": ["uint16", "int16"]},
    "window": shape(center=NUMBER, width=NUMBER),
    "slope": NUMBER,
    "intercept": NUMBER,
    "instances": array(TEXT) | {"description": "Orthanc ids, in displayed order"},
}

COMPONENTS: dict[str, Schema] = {
    "Refusal": {
        "type": "object",
        "properties": {
            "success": {"const": False},
            "error": TEXT,
            "code": TEXT,
            "remedy": TEXT,
            "detail": TEXT,
            "reasons": array(ref("Reason"))
            | {"description": "with 409 and confirmation-needed: what is to be confirmed"},
        },
        "required": ["success", "error"],
    },
    "Reason": shape(
        code={"type": "string", "enum": list(REASONS)},
        parameters={"type": "object", "additionalProperties": TEXT},
        text=TEXT,
        contradicts=FLAG | {"description": "false: the series only may be the wrong ones"},
    ),
    "Request": shape(**_REQUEST),
    "Study": shape(**_STUDY),
    "Series": shape(
        series_id=TEXT,
        number=TEXT,
        description=TEXT,
        modality=TEXT,
        instances=WHOLE,
        images=WHOLE,
        orientation={
            "type": ["string", "null"],
            "enum": ["axial", "sagittal", "coronal", "oblique", None],
        },
        rows=WHOLE_OR_NULL,
        columns=WHOLE_OR_NULL,
    ),
    "RecognisedRole": shape(
        **_ROLE,
        series_id=TEXT_OR_NULL,
        confidence={"type": "string", "enum": [item.value for item in Confidence]},
        evidence=TEXT,
        clues=array(shape(code=TEXT, parameters={"type": "object"})),
    ),
    "Agent": shape(
        name=TEXT,
        online=FLAG,
        state=TEXT,
        reason=TEXT,
        device=TEXT,
        version=TEXT,
        profiles=array(TEXT),
        labels=array(TEXT),
        last_beat=TIME,
        seconds_since_beat={"type": "number"},
        jobs=array(shape(request_id=TEXT, stage=TEXT, percent=WHOLE, done=WHOLE, total=WHOLE)),
    ),
    "Profile": shape(
        name=TEXT,
        title=_TEXTS,
        intended_use=_TEXTS,
        body_part=TEXT_OR_NULL,
        for_patients=FLAG,
        roles=array(shape(**_ROLE)),
        segments=array(shape(number=WHOLE, label=TEXT, title=_TEXTS, colour=array(WHOLE))),
        online=FLAG,
        default=FLAG,
    ),
    "OverlaySegment": shape(
        number=WHOLE,
        label=TEXT,
        colour=row(WHOLE, 3) | {"description": "sRGB, 0 to 255"},
        voxels=WHOLE,
        volume_ml=NUMBER,
        longest_diameter_mm={"type": ["number", "null"]},
    ),
    "Event": shape(at=TIME, kind=TEXT, attempt=WHOLE, agent=TEXT, text=TEXT, detail=TEXT),
}

_PAGED = {"count": WHOLE, "page": WHOLE, "page_size": WHOLE}
_ACCEPTED = {"request_id": TEXT, "status": _STATE, "profile": TEXT}
_LABELS = TypeAdapter(Labels).json_schema() | {
    "description": "what an agent must have to run it; the profile's usual ones unless given"
}
_CONFIRM: Schema = {
    "oneOf": [FLAG, array({"type": "string", "enum": list(REASONS)})],
    "description": (
        "what a person has seen and wants all the same: true, or the codes of the reasons that "
        "were shown; a reason of another code answers 409 once more"
    ),
}
_BY_SERIES: Schema = {
    "type": "object",
    "properties": {
        "sequence_series_ids": array(TEXT),
        "profile": TEXT,
        "labels": _LABELS,
        "confirm": _CONFIRM,
    },
    "required": ["sequence_series_ids"],
}
_BY_ROLE: Schema = {
    "type": "object",
    "properties": {
        "profile": TEXT,
        "series": {"type": "object", "additionalProperties": TEXT},
        "priority": {"type": "integer", "minimum": 0, "maximum": 9},
        "labels": _LABELS,
        "confirm": _CONFIRM,
    },
    "required": ["series"],
}
_RETRY: Schema = {"type": "object", "properties": {"force": FLAG, "confirm": _CONFIRM}}


def _query(name: str, description: str, kind: type = str) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description)


_PAGING = [
    _query("page", "from 1", int),
    _query("page_size", f"{PAGE_SIZE} unless given, at most {LARGEST_PAGE}", int),
]

_ON_SERIES = _query("series", "Orthanc id of a series on the same grid; the SEG's own unless given")
_INDEX = OpenApiParameter(
    "index", int, OpenApiParameter.PATH, description="slice in displayed order, from 0"
)
_UNLESS_CHANGED = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="the ETag of an earlier answer"
)
_OCTETS = (200, "application/octet-stream")
_UNCHANGED = {304: OpenApiResponse(description="As before: the ETag is that of If-None-Match.")}


def _told(name: str, description: str, code: int = 200) -> OpenApiParameter:
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, description=description, response=[code]
    )


_ETAG = _told("ETag", "changes with the bytes; may be sent back in If-None-Match")
_VOXELS_TOLD = [
    _told("X-Shape", "sizes, separated by commas"),
    _told("X-Dtype", "uint16 or int16, or float32 where slices differ in scale; little-endian"),
    _ETAG,
    _UNLESS_CHANGED,
]

_Code = int | tuple[int, str]
"""A status, with the media type where it is not JSON."""

_Endpoint = tuple[type[LabsegView], str, _Code, Schema | None, dict[str, Any]]

ENDPOINTS: tuple[_Endpoint, ...] = (
    (
        RequestSegmentation,
        "post",
        202,
        answer(**_ACCEPTED, series_id=TEXT),
        {"request": {"application/json": _BY_SERIES}},
    ),
    (
        RequestStudySegmentation,
        "post",
        202,
        answer(**_ACCEPTED, study_id=TEXT),
        {"request": {"application/json": _BY_ROLE}},
    ),
    (SegmentationStatus, "get", 200, answer(**_REQUEST, waiting=or_null(_WAITING)), {}),
    (
        Requests,
        "get",
        200,
        answer(**_PAGED, requests=array(ref("Request"))),
        {
            "parameters": [
                _query("state", ", ".join(State.values)),
                _query("profile", "name of a profile"),
                _query("study", "Orthanc id of a study"),
                *_PAGING,
            ]
        },
    ),
    (RequestEvents, "get", 200, answer(events=array(ref("Event"))), {}),
    (CancelRequest, "post", 200, answer(cancelled=FLAG, **_REQUEST), {"request": None}),
    (
        RetryRequest,
        "post",
        202,
        answer(**_ACCEPTED, is_new=FLAG, retry_of=TEXT),
        {"request": {"application/json": _RETRY}},
    ),
    (
        Studies,
        "get",
        200,
        answer(**_PAGED, studies=array(ref("Study"))),
        {
            "operation_id": "studies_list",
            "parameters": [_query("q", "words of name, id, date or description"), *_PAGING],
        },
    ),
    (
        Study,
        "get",
        200,
        answer(
            study=ref("Study"),
            series=array(ref("Series")),
            profile=TEXT,
            roles=array(ref("RecognisedRole")),
            requests=array(ref("Request")),
            missing_reports=array(TEXT)
            | {"description": "report_instance_id of requests whose report is not in Orthanc"},
        ),
        {"parameters": [_query("profile", "the usual one unless given")]},
    ),
    (
        Agents,
        "get",
        200,
        answer(agents=array(ref("Agent")), online=WHOLE, last_seen=TIME_OR_NULL),
        {},
    ),
    (Profiles, "get", 200, answer(profiles=array(ref("Profile"))), {}),
    (
        Health,
        "get",
        200,
        answer(
            status={"type": "string", "enum": ["ok", "degraded"]},
            queue=TEXT,
            orthanc=TEXT,
            sync=TEXT,
            last_sync=TIME_OR_NULL,
            agents_online=WHOLE,
            version=TEXT,
        ),
        {},
    ),
    (
        SegmentationFrames,
        "get",
        200,
        answer(num_frames=WHOLE, frames=array(shape(index=WHOLE, mask_base64=TEXT))),
        {
            "parameters": [
                _query("series", "Orthanc id of a series on the same grid"),
                _query("segment", "Segment Number", int),
            ]
        },
    ),
    (
        SeriesGeometryView,
        "get",
        200,
        answer(**_GEOMETRY),
        {"description": "Where the voxels of a series lie, and what their values mean."},
    ),
    (
        SeriesVolumeView,
        "get",
        _OCTETS,
        BYTES,
        {
            "description": "All voxels of a series, [slices, rows, columns]; deflated (gzip) "
            "where the client takes it.",
            "parameters": _VOXELS_TOLD,
            "responses": _UNCHANGED,
        },
    ),
    (
        SeriesSliceView,
        "get",
        _OCTETS,
        BYTES,
        {
            "description": "The voxels of one slice, [rows, columns], in the same form.",
            "parameters": [_INDEX, *_VOXELS_TOLD],
            "responses": _UNCHANGED,
        },
    ),
    (
        SegmentationOverlay,
        "get",
        200,
        answer(
            series_id=TEXT,
            shape=_SHAPE,
            affine=_AFFINE,
            box=row(row(WHOLE, 2), 3)
            | {"description": "half-open ranges of slices, rows, columns; empty without a voxel"},
            segments=array(ref("OverlaySegment")),
            slices=array(WHOLE) | {"description": "with a voxel, in displayed order"},
            centre=or_null(row(WHOLE, 3))
            | {"description": "slice, row, column amid the largest segment"},
            labels_url=TEXT,
        ),
        {
            "description": "A SEG on a series: its segments, measures, colours and place.",
            "parameters": [_ON_SERIES],
        },
    ),
    (
        SegmentationLabels,
        "get",
        _OCTETS,
        BYTES,
        {
            "description": "The segment's number of each voxel of the overlay's box, one byte "
            "each; 0 is none, and where segments overlap the highest number is told.",
            "parameters": [_ON_SERIES, _ETAG, _UNLESS_CHANGED],
            "responses": _UNCHANGED,
        },
    ),
    (
        SegmentationOverlaySlice,
        "get",
        (200, "image/png"),
        BYTES,
        {
            "description": "One slice as a palette PNG: an index is a segment's number, 0 is "
            "transparent.",
            "parameters": [_INDEX, _ON_SERIES],
        },
    ),
    (Push, "post", 204, None, {"request": {"application/json": {"type": "object"}}}),
)


def describe() -> None:
    """Give every endpoint its description; once, when the addresses are loaded."""
    for view, method, code, schema, more in ENDPOINTS:
        refused: dict[Any, Any] = {"4XX": ref("Refusal"), "5XX": ref("Refusal")}
        responses = {code: schema} | more.get("responses", {}) | refused
        described = extend_schema(**more | {"responses": responses})
        function = getattr(view, method)
        # Where the project has not set DEFAULT_SCHEMA_CLASS, which other apps may need.
        function.kwargs = {"schema": AutoSchema}
        view.schema = AutoSchema()
        described(function)


def only_these(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Leave out the endpoints of the project's other apps, and those nobody described."""
    described: set[type[APIView]] = {item[0] for item in ENDPOINTS}
    return [item for item in endpoints if item[3].cls in described]


class OpenApiSchema(LabsegView, SpectacularJSONAPIView):
    """``GET …/schema/``: OpenAPI 3.1."""

    renderer_classes = [OpenApiJsonRenderer]  # noqa: RUF012  (the framework's own form)
    custom_settings = {  # noqa: RUF012  (the framework's own form)
        "TITLE": "SegRelay",
        "VERSION": __version__,
        "OAS_VERSION": "3.1.0",
        "PREPROCESSING_HOOKS": ["gcp_side.labseg.api.schema.only_these"],
        "POSTPROCESSING_HOOKS": [],
        "APPEND_COMPONENTS": {"schemas": COMPONENTS},
    }
