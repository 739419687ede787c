"""What all endpoints share: who may call, how often, and how errors look."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db import connections, transaction
from django.utils.translation import gettext
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.metadata import BaseMetadata, SimpleMetadata
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.schemas.inspectors import ViewInspector
from rest_framework.serializers import Serializer
from rest_framework.settings import APISettings
from rest_framework.throttling import BaseThrottle
from rest_framework.versioning import BaseVersioning
from rest_framework.views import APIView

from gcp_side.labseg.api.answers import RefusalSerializer
from gcp_side.labseg.api.bodies import Body
from gcp_side.labseg.api.framework import OWN_SETTINGS, OwnJSONRenderer, OwnNegotiation
from gcp_side.labseg.api.parsers import ShallowJSONParser, check_size
from gcp_side.labseg.api.throttles import ReadThrottle
from gcp_side.labseg.conf import authentication_classes
from gcp_side.labseg.errors import (
    ConfirmationNeededError,
    JobStateError,
    QueryRefusedError,
    SegmentationUnreadableError,
    SeriesNotShownError,
    SubmissionRefusedError,
)
from gcp_side.labseg.messages import explain
from segrelay.errors import (
    NotFoundError,
    OrthancRefusedError,
    SegRelayError,
    SeriesRefusedError,
    TransientError,
)

logger = logging.getLogger(__name__)

NO_STORE = "private, no-store"
"""Lists hold names of patients: neither a proxy nor the browser's disk keeps them, nor a project's
cache of whole answers, which in some versions of Django looks for ``private`` alone. Images and
labels, which name nobody, are kept by the browser alone, and asked for again with their ETag."""

NOT_LOGGED_IN = "not-logged-in"
"""``code`` of the answer to a request of nobody."""

FORGED = "csrf-refused"
"""``code`` of the answer to a request that may come from another site's page."""

PAGE_SIZE = 50
LARGEST_PAGE = 200
LARGEST_PAGE_NUMBER = 10**6
PAGING = {
    "page": "from 1",
    "page_size": f"{PAGE_SIZE} unless given, at most {LARGEST_PAGE}",
}
"""What :func:`page_of` reads."""

_BAD_REQUESTS = (
    QueryRefusedError,
    SegmentationUnreadableError,
    SeriesNotShownError,
    SeriesRefusedError,
    SubmissionRefusedError,
)


class HasJobPermission(BasePermission):
    """The user has the permission that the view names in ``needs``."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Superusers have every permission; users of a model without permissions have none."""
        needs: str = view.needs  # type: ignore[attr-defined]
        has_perm = getattr(request.user, "has_perm", None)
        return has_perm is not None and bool(has_perm(needs))


class LabsegView(APIView):
    """Base of the endpoints: permissions, throttling, errors and what is described."""

    needs: ClassVar[str] = "labseg.view_job"
    """The permission of Django's that a caller must have."""
    answer: ClassVar[type[Serializer[Any]]]
    """What it answers with, where that is JSON."""
    media_type: ClassVar[str | None] = None
    """Of an answer that is not JSON."""
    status_code: ClassVar[int] = status.HTTP_200_OK
    body: ClassVar[type[Body] | None] = None
    query: ClassVar[Mapping[str, str]] = {}
    """Parameters of the address, each with its description."""
    numbers: ClassVar[frozenset[str]] = frozenset({"page", "page_size", "segment"})
    """Those of them that are whole numbers."""
    response_headers: ClassVar[Mapping[str, str]] = {}
    """Of the answer, each with its description."""
    # In no description but where ``drf_spectacular`` is installed.
    schema: ViewInspector | None = None
    permission_classes: Sequence[type[BasePermission]] = (IsAuthenticated, HasJobPermission)
    throttle_classes: Sequence[type[BaseThrottle]] = (ReadThrottle,)
    parser_classes = (ShallowJSONParser,)
    most_bytes: int | None = None
    """Of a request's body; the project's own limit unless given."""
    renderer_classes: Sequence[type[BaseRenderer]] = (OwnJSONRenderer,)
    content_negotiation_class = OwnNegotiation
    metadata_class: type[BaseMetadata] | None = SimpleMetadata
    versioning_class: type[BaseVersioning] | None = None
    settings: APISettings = OWN_SETTINGS

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Make the view, without a transaction around the request (``ATOMIC_REQUESTS``).

        The jobs have transactions of their own; one around the whole request would be open
        while Orthanc and the queue are asked, and take back what a refusal leaves behind.
        """
        view = super().as_view(**initkwargs)
        for database in connections:
            view = transaction.non_atomic_requests(using=database)(view)
        return view

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Make the authenticators that ``SEGRELAY["AUTHENTICATION_CLASSES"]`` names."""
        return [authenticator() for authenticator in authentication_classes()]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who asks, whether they may, and how often; nothing is read of a body too large."""
        check_size(request, self.most_bytes)
        super().initial(request, *args, **kwargs)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """No copy of an answer is kept, unless the endpoint says for how long it may be."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        if not answer.has_header("Cache-Control"):
            answer["Cache-Control"] = NO_STORE
        return answer

    def handle_exception(self, exc: Exception) -> Response:
        """Errors of :mod:`segrelay.errors` become answers; others are the framework's."""
        if isinstance(exc, SegRelayError):
            return _refusal(exc)
        response = super().handle_exception(exc)
        if isinstance(response.data, dict) and "detail" in response.data:
            response.data = RefusalSerializer({"error": response.data["detail"]}).data
        if isinstance(exc, NotAuthenticated) and isinstance(response.data, dict):
            # The page distinguishes a session that has ended from a missing permission.
            response.data["code"] = NOT_LOGGED_IN
        if isinstance(exc, PermissionDenied) and str(exc.detail).startswith("CSRF Failed"):
            # The user may well do this: it is the project's settings that say otherwise.
            response.data = _forged(str(exc.detail))
        return response


def user_of(request: Request) -> User | None:
    """Who asks."""
    return request.user if request.user.is_authenticated else None


def page_of(request: Request) -> tuple[int, int]:
    """``?page=`` (from 1) and ``?page_size=``.

    Raises
    ------
    QueryRefusedError
        One is not a whole number in its range.
    """
    return (
        _whole(request, "page", 1, LARGEST_PAGE_NUMBER),
        _whole(request, "page_size", PAGE_SIZE, LARGEST_PAGE),
    )


def _whole(request: Request, name: str, default: int, largest: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > len(str(largest)):
        raise QueryRefusedError(f"{name} is not a whole number.")
    number = int(text)
    if not 1 <= number <= largest:
        raise QueryRefusedError(f"{name} is not between 1 and {largest}.")
    return number


def _forged(detail: str) -> dict[str, Any]:
    refusal = {
        "error": gettext("The site did not take this for a request of its own pages (CSRF)."),
        "code": FORGED,
        "remedy": gettext(
            "Reload the page. If that does not help, the settings of the site do not know its "
            "address or that it is served by https: CSRF_TRUSTED_ORIGINS, SECURE_PROXY_SSL_HEADER."
        ),
        "detail": detail,
    }
    return RefusalSerializer(refusal).data


def _refusal(error: SegRelayError) -> Response:
    code = _status_of(error)
    if code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        logger.error("request failed: %s: %s", error.code, error.message)
    explained = explain(error)
    body: dict[str, Any] = {
        "error": explained.message,
        "code": error.code,
        "remedy": explained.remedy,
        "detail": explained.detail,
    }
    if isinstance(error, ConfirmationNeededError):
        body["reasons"] = error.reasons
    return Response(RefusalSerializer(body).data, status=code)


def _status_of(error: SegRelayError) -> int:
    if isinstance(error, NotFoundError):
        return status.HTTP_404_NOT_FOUND
    if isinstance(error, (JobStateError, ConfirmationNeededError)):
        return status.HTTP_409_CONFLICT
    if isinstance(error, _BAD_REQUESTS):
        return status.HTTP_400_BAD_REQUEST
    if isinstance(error, TransientError):
        return status.HTTP_503_SERVICE_UNAVAILABLE
    if isinstance(error, OrthancRefusedError):
        return status.HTTP_502_BAD_GATEWAY
    return status.HTTP_500_INTERNAL_SERVER_ERROR
