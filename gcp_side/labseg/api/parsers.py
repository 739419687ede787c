"""Bodies of requests: JSON, and not too much of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request


class BodyTooLargeError(APIException):
    """The body is larger than its limit, mostly ``DATA_UPLOAD_MAX_MEMORY_SIZE``."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = _("The body is too large.")


def check_size(request: Request, most_bytes: int | None = None) -> None:
    """Check the body's size before it is read: the framework's streams bypass Django's limit.

    Parameters
    ----------
    most_bytes:
        The limit; Django's setting unless given.

    Raises
    ------
    BodyTooLargeError
    """
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE if most_bytes is None else most_bytes
    # WSGI reads no further than this header says; what is no number counts as 0 there.
    length = str(request.META.get("CONTENT_LENGTH") or "")
    if limit is not None and length.isdigit() and int(length) > limit:
        raise BodyTooLargeError


class ShallowJSONParser(JSONParser):
    """JSON that is not nested deeper than Python can follow."""

    strict = True

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read the body, which is in UTF-8 (RFC 8259 8.1) whatever ``DEFAULT_CHARSET`` says.

        Raises
        ------
        ParseError
            It is no JSON, or nested too deeply.
        """
        try:
            return super().parse(
                stream, media_type, {**(parser_context or {}), "encoding": "utf-8"}
            )
        except RecursionError:
            raise ParseError(gettext("The body is nested too deeply.")) from None
