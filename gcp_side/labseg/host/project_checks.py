"""System checks of the project around the app: whether what it needs there is in place."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.template import TemplateDoesNotExist
from django.urls import NoReverseMatch
from django.utils.module_loading import import_string
from rest_framework.authentication import SessionAuthentication, TokenAuthentication

from gcp_side.labseg.conf import authentication_classes
from gcp_side.labseg.host.addresses import API, PAGES, api_address, page_address, places_of
from gcp_side.labseg.pages.rendering import page_engine

API_URLS = "gcp_side.labseg.urls"
PAGE_URLS = "gcp_side.labseg.page_urls"


@register(Tags.urls)
def check_addresses(**_: Any) -> list[CheckMessage]:
    """labseg.E002, labseg.I001: pages and endpoints are not both included, or cannot be found.

    Endpoints without pages are enough for a project with pages of its own.
    """
    if not _has_addresses():
        return []
    if places_of(PAGES) and not places_of(API):
        return [
            Error(
                f"The pages ({PAGE_URLS}) are included without the endpoints ({API_URLS}): "
                "they would show nothing.",
                hint=f'Add path("api/mri/", include("{API_URLS}")) to the urlpatterns.',
                id="labseg.E002",
            )
        ]
    if places_of(API) and not places_of(PAGES):
        return [
            Info(
                f"The endpoints ({API_URLS}) are included without the pages ({PAGE_URLS}).",
                hint=f'Add path("segmentation/", include("{PAGE_URLS}")) to the urlpatterns, or '
                'put "labseg.I001" into SILENCED_SYSTEM_CHECKS where the project has its own.',
                id="labseg.I001",
            )
        ]
    return [
        Error(
            f"{module} is included only below a prefix with a variable part.",
            hint="Include it below a fixed one: this app's addresses have no values for others.",
            id="labseg.E002",
        )
        for module, app_name in ((API_URLS, API), (PAGE_URLS, PAGES))
        if places_of(app_name) and _path(app_name) is None
    ]


@register(Tags.templates)
def check_templates(**_: Any) -> list[CheckMessage]:
    """labseg.E003: no engine finds the pages' templates."""
    if not _has_addresses() or not places_of(PAGES):
        return []
    try:
        page_engine()
    except TemplateDoesNotExist:
        return [
            Error(
                "No engine of TEMPLATES finds the templates of gcp_side.labseg.",
                hint='Add an engine django.template.backends.django.DjangoTemplates with "APP_DIRS"'
                ": True, or with django.template.loaders.app_directories.Loader.",
                id="labseg.E003",
            )
        ]
    return []


@register(Tags.models)
def check_users(**_: Any) -> list[CheckMessage]:
    """labseg.E004: users cannot have permissions, so nobody may do anything."""
    if hasattr(get_user_model(), "has_perm"):
        return []
    return [
        Error(
            f"AUTH_USER_MODEL ({settings.AUTH_USER_MODEL}) has no has_perm(): nobody may use this "
            "app.",
            hint="Derive it from django.contrib.auth.models.PermissionsMixin as well.",
            id="labseg.E004",
        )
    ]


@register(Tags.urls)
def check_cookies(**_: Any) -> list[CheckMessage]:
    """labseg.W006: browsers send a cookie to a part of the app's addresses only."""
    if not _has_addresses():
        return []
    paths = [path for app_name in (PAGES, API) if (path := _path(app_name)) is not None]
    names = ["SESSION_COOKIE_PATH"]
    if not settings.CSRF_USE_SESSIONS:
        names.append("CSRF_COOKIE_PATH")
    return [
        Warning(
            f"{name} is {getattr(settings, name)!r}: browsers do not send that cookie to "
            f"{', '.join(left)}, so the pages cannot be used.",
            hint=f"Set {name} to a path above all of {', '.join(paths)}. If the server puts a "
            "folder before these (SCRIPT_NAME), name it with FORCE_SCRIPT_NAME.",
            id="labseg.W006",
        )
        for name in names
        if (left := [path for path in paths if not _is_below(path, getattr(settings, name))])
    ]


@register(Tags.security)
def check_authentication(**_: Any) -> list[CheckMessage]:
    """labseg.E005: tokens have no table.

    labseg.W007, labseg.W008: the pages' session is not accepted, or without CSRF protection.
    """
    return [*_tokens_without_table(), *_session_warnings()]


def _tokens_without_table() -> list[CheckMessage]:
    """The framework's own tokens are rows of an app that must be installed."""
    if apps.is_installed("rest_framework.authtoken"):
        return []
    return [
        Error(
            f'SEGRELAY["AUTHENTICATION_CLASSES"] names {item.__qualname__}, whose tokens have no '
            "table: every request with a token fails.",
            hint='Add "rest_framework.authtoken" to INSTALLED_APPS and run manage.py migrate.',
            id="labseg.E005",
        )
        for item in authentication_classes()
        if issubclass(item, TokenAuthentication)
        and item.model is None
        and item.get_model is TokenAuthentication.get_model
    ]


def _session_warnings() -> list[CheckMessage]:
    sessions = [
        item for item in authentication_classes() if issubclass(item, SessionAuthentication)
    ]
    if not sessions and _has_addresses() and places_of(PAGES):
        return [
            Warning(
                'SEGRELAY["AUTHENTICATION_CLASSES"] holds no SessionAuthentication: the pages get '
                "no answer from the endpoints.",
                hint="Add rest_framework.authentication.SessionAuthentication, or do not include "
                f"{PAGE_URLS}.",
                id="labseg.W007",
            )
        ]
    return [
        Warning(
            f"{item.__module__}.{item.__qualname__} replaces enforce_csrf(): another site may be "
            "able to send requests in the name of a user who is logged in.",
            hint="Use rest_framework.authentication.SessionAuthentication for sessions.",
            id="labseg.W008",
        )
        for item in sessions
        if item.enforce_csrf is not SessionAuthentication.enforce_csrf
    ]


@register(Tags.security)
def check_middleware(**_: Any) -> list[CheckMessage]:
    """labseg.W010: nothing says whose request it is, so that no page can be shown."""
    if not _has_addresses() or not places_of(PAGES):
        return []
    return [
        Warning(
            f"MIDDLEWARE holds no {needed.__name__}: the pages cannot be shown, and nobody can log "
            "in.",
            hint=f"Add {needed.__module__}.{needed.__qualname__}, or put "
            '"labseg.W010" into SILENCED_SYSTEM_CHECKS where another one does its work.',
            id="labseg.W010",
        )
        for needed in (SessionMiddleware, AuthenticationMiddleware)
        if not any(_is_kind_of(name, needed) for name in settings.MIDDLEWARE)
    ]


def _is_kind_of(name: str, kind: type) -> bool:
    try:
        found = import_string(name)
    except ImportError:
        # Django says so, with its own words.
        return False
    return isinstance(found, type) and issubclass(found, kind)


def _has_addresses() -> bool:
    """Whether the project has addresses at all: one that only runs commands has none."""
    return bool(getattr(settings, "ROOT_URLCONF", None))


def _path(app_name: str) -> str | None:
    try:
        return api_address("studies") if app_name == API else page_address("studies")
    except NoReverseMatch:
        return None


def _is_below(path: str, cookie_path: str | None) -> bool:
    """Whether a browser sends a cookie of this path along (RFC 6265 5.1.4)."""
    above = cookie_path or "/"
    return path == above or path.startswith(above if above.endswith("/") else f"{above}/")
