"""Parts of somebody's Django project: routers, storage, middleware, and defaults for endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request


class Replica:
    """Reads go to a copy that never gets any news, as one that is far behind."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        # The hospital's own tables are not what is tested.
        return "replica" if model._meta.app_label == "labseg" else "default"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True


class LabDatabase:
    """This app's tables, and no others, are in a database of their own."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "lab" if model._meta.app_label == "labseg" else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (app_label == "labseg") == (db != "default")


class LabDatabaseWithReplica(LabDatabase):
    """As that, and a copy of it that never gets any news is read."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "replica" if model._meta.app_label == "labseg" else None


class HashedOnly(ManifestStaticFilesStorage):
    """Files are kept under their hashed names alone."""

    manifest_strict = False

    def post_process(self, *args: Any, **options: Any) -> Any:
        found = list(super().post_process(*args, **options))
        for name, hashed, _ in found:
            if name != hashed and isinstance(hashed, str):
                Path(self.path(name)).unlink(missing_ok=True)
        return found


class AwayCache(BaseCache):
    """A cache server that does not answer."""

    def __init__(self, _location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def _away(self, *args: Any, **options: Any) -> Any:
        raise ConnectionError("cache server away")

    get = set = add = incr = delete = touch = _away


class StrictPolicy:
    """Middleware: scripts come from this site alone, and nothing is framed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self._get_response(request)
        answer["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            "connect-src 'self'; form-action 'self'"
        )
        return answer


class ExceptionsAsJson(StrictPolicy):
    """Middleware: whatever a view raises is an answer of the project's own."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse:
        return JsonResponse({"wrapped": type(exception).__name__}, status=418)


class CamelCase(JSONRenderer):
    """Renames the keys of every answer."""

    media_type = "application/vnd.hospital+json"

    def render(self, data: Any, *args: Any, **options: Any) -> bytes:
        return b'{"hospitalData": true}'


class EnvelopedToken(BaseAuthentication):
    """A token that names its user and is signed, as a JWT is."""

    def authenticate(self, request: Request) -> tuple[Any, str] | None:
        from django.contrib.auth import get_user_model
        from django.core.signing import BadSignature, loads
        from rest_framework.exceptions import AuthenticationFailed

        kind, _, token = str(request.META.get("HTTP_AUTHORIZATION", "")).partition(" ")
        if kind != "Bearer":
            return None
        try:
            user = get_user_model()._default_manager.get(pk=loads(token)["sub"])
        except BadSignature:
            raise AuthenticationFailed("The token is not valid.") from None
        return user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class UncheckedSession(SessionAuthentication):
    """The well-known mistake: a session without a check for CSRF."""

    def enforce_csrf(self, request: Request) -> None:
        return


def other_answer(error: Exception, context: Mapping[str, Any]) -> None:
    """An exception handler that forgets to answer."""
    assert context
    assert settings.configured


def deny(*args: Any) -> Any:
    """A function of settings that this app must never call."""
    raise AssertionError(args)
