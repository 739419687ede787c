"""The OpenAPI description of the endpoints, where ``drf_spectacular`` is installed.

The shapes are written here once, as JSON Schema, and a test holds the answers against them.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import OpenApiParameter, extend_schema
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework.views import APIView

from gcp_side import __version__
from gcp_side.labseg.models import State
from gcp_side.labseg.recognition import Confidence
from gcp_side.labseg.views.base import LARGEST_PAGE, PAGE_SIZE, LabsegView
from gcp_side.labseg.views.frames import SegmentationFrames
from gcp_side.labseg.views.lab import Agents, Health, Profiles
from gcp_side.labseg.views.push import Push
from gcp_side.labseg.views.requests import (
    CancelRequest,
    RequestEvents,
    Requests,
    RetryRequest,
    SegmentationStatus,
)
from gcp_side.labseg.views.studies import Studies, Study
from gcp_side.labseg.views.submit import RequestSegmentation, RequestStudySegmentation

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
TIME: Schema = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
WHOLE_OR_NULL: Schema = {"type": ["integer", "null"]}
FLAG: Schema = {"type": "boolean"}


def ref(name: str) -> Schema:
    """A component."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(of: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": of}


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
    "warnings": array(TEXT),
    "provenance": {"type": ["object", "null"]},
    "failure": or_null(shape(code=TEXT, reason=TEXT, remedy=TEXT)),
    "retry_of": TEXT_OR_NULL,
    "submitted_at": TIME,
    "updated_at": TIME,
    "finished_at": TIME_OR_NULL,
}
_STUDY = {
    "study_id": TEXT,
    "patient_name": TEXT,
    "patient_id": TEXT,
    "date": {"type": ["string", "null"], "format": "date"},
    "description": TEXT,
    "modalities": array(TEXT),
    "series": WHOLE,
    "latest_request": or_null(ref("Request")),
}
_ROLE = {"role": TEXT, "title": _TEXTS}

COMPONENTS: dict[str, Schema] = {
    "Refusal": {
        "type": "object",
        "properties": {
            "success": {"const": False},
            "error": TEXT,
            "code": TEXT,
            "remedy": TEXT,
        },
        "required": ["success", "error"],
    },
    "Request": shape(**_REQUEST),
    "Study": shape(**_STUDY),
    "Series": shape(
        series_id=TEXT,
        number=TEXT,
        description=TEXT,
        modality=TEXT,
        instances=WHOLE,
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
        last_beat=TIME,
        seconds_since_beat={"type": "number"},
        jobs=array(shape(request_id=TEXT, stage=TEXT, percent=WHOLE, done=WHOLE, total=WHOLE)),
    ),
    "Profile": shape(
        name=TEXT,
        title=_TEXTS,
        intended_use=_TEXTS,
        roles=array(shape(**_ROLE)),
        segments=array(shape(number=WHOLE, label=TEXT, title=_TEXTS, colour=array(WHOLE))),
        online=FLAG,
        default=FLAG,
    ),
    "Event": shape(at=TIME, kind=TEXT, attempt=WHOLE, agent=TEXT, text=TEXT),
}

_PAGED = {"count": WHOLE, "page": WHOLE, "page_size": WHOLE}
_ACCEPTED = {"request_id": TEXT, "status": _STATE, "profile": TEXT}
_BY_SERIES: Schema = {
    "type": "object",
    "properties": {"sequence_series_ids": array(TEXT), "profile": TEXT},
    "required": ["sequence_series_ids"],
}
_BY_ROLE: Schema = {
    "type": "object",
    "properties": {
        "profile": TEXT,
        "series": {"type": "object", "additionalProperties": TEXT},
        "priority": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["series"],
}


def _query(name: str, description: str, kind: type = str) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description)


_PAGING = [
    _query("page", "from 1", int),
    _query("page_size", f"{PAGE_SIZE} unless given, at most {LARGEST_PAGE}", int),
]

_Endpoint = tuple[type[LabsegView], str, int, Schema | None, dict[str, Any]]

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
    (SegmentationStatus, "get", 200, answer(**_REQUEST), {}),
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
        {"request": {"application/json": {"type": "object", "properties": {"force": FLAG}}}},
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
    (Push, "post", 204, None, {"request": {"application/json": {"type": "object"}}}),
)


def describe() -> None:
    """Give every endpoint its description; once, when the addresses are loaded."""
    for view, method, code, schema, more in ENDPOINTS:
        refused: dict[Any, Any] = {"4XX": ref("Refusal"), "5XX": ref("Refusal")}
        described = extend_schema(responses={code: schema} | refused, **more)
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
        "PREPROCESSING_HOOKS": ["gcp_side.labseg.openapi.only_these"],
        "POSTPROCESSING_HOOKS": [],
        "APPEND_COMPONENTS": {"schemas": COMPONENTS},
    }
