"""The OpenAPI description of the endpoints, where ``drf_spectacular`` is installed.

It is made from what the views declare: their answers, bodies and parameters.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.authentication import BasicScheme
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_basic_type
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from drf_spectacular.views import SpectacularJSONAPIView

from gcp_side import __version__
from gcp_side.labseg.api.answers import RefusalSerializer
from gcp_side.labseg.api.base import LabsegView
from gcp_side.labseg.jobs.confirmation import REASONS

_REFUSED = dict.fromkeys(("4XX", "5XX"), RefusalSerializer)
_UNCHANGED = {304: OpenApiResponse(description="As before: the ETag is that of If-None-Match.")}


class GuardedBasicScheme(BasicScheme):  # type: ignore[no-untyped-call]
    """Basic authentication in the schema; wrong guesses are counted, which no client sees."""

    target_class = "gcp_side.labseg.access.brute_force.GuardedBasicAuthentication"


class ComputedExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A computed value has the form of its child."""

    target_class = "gcp_side.labseg.api.serializers.Computed"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        """The schema of the child."""
        return auto_schema._map_serializer_field(self.target.child, direction)


class StrictExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A value of one type of JSON's."""

    target_class = "gcp_side.labseg.api.bodies.StrictField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:  # noqa: ARG002
        """The schema of the type."""
        return build_basic_type(self.target.kind)


class ConfirmExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """True, or a list of codes."""

    target_class = "gcp_side.labseg.api.bodies.ConfirmField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:  # noqa: ARG002
        """The schema of the value."""
        codes = {"type": "array", "items": {"type": "string", "enum": list(REASONS)}}
        return {"oneOf": [{"type": "boolean"}, codes]}


class LabsegSchema(AutoSchema):
    """What a view declares, in the terms of the package."""

    view: Any

    def get_request_serializer(self) -> Any:
        """The body of the view."""
        return self.view.body

    def get_response_serializers(self) -> Any:
        """The one answer of the view, and refusals."""
        code = self.view.status_code
        if self.view.media_type is None:
            return {code: getattr(self.view, "answer", None), **_REFUSED}
        unchanged = _UNCHANGED if "ETag" in self.view.response_headers else {}
        return {(code, self.view.media_type): OpenApiTypes.BINARY, **unchanged, **_REFUSED}

    def get_override_parameters(self) -> list[Any]:
        """The parameters of the address, and the headers of both ways."""
        at, view = OpenApiParameter, self.view
        found = [
            at(name, int if name in view.numbers else str, at.QUERY, description=text)
            for name, text in view.query.items()
        ]
        if "{index}" in self.path:
            text = "slice in displayed order, from 0"
            found.append(at("index", int, at.PATH, description=text))
        if "ETag" in view.response_headers:
            text = "the ETag of an earlier answer"
            found.append(at("If-None-Match", str, at.HEADER, description=text))
        return found + [
            at(name, str, at.HEADER, description=text, response=[view.status_code])
            for name, text in view.response_headers.items()
        ]

    def get_operation_id(self) -> str:
        """As the package's; the two addresses of studies would make one name."""
        return "studies_list" if self.path.endswith("/studies/") else super().get_operation_id()


def only_these(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Leave out the endpoints of the project's other apps."""
    return [item for item in endpoints if issubclass(item[3].cls, LabsegView)]


class OpenApiSchema(LabsegView, SpectacularJSONAPIView):
    """``GET …/schema/``: OpenAPI 3.1."""

    schema = None
    renderer_classes = [OpenApiJsonRenderer]  # noqa: RUF012  (the framework's own form)
    custom_settings = {  # noqa: RUF012  (the framework's own form)
        "TITLE": "SegRelay",
        "VERSION": __version__,
        "OAS_VERSION": "3.1.0",
        "PREPROCESSING_HOOKS": ["gcp_side.labseg.api.schema.only_these"],
        "POSTPROCESSING_HOOKS": [],
    }
