"""Checks of the project around the app, each with what it must not complain of."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage, run_checks
from django.core.checks.registry import registry
from django.test import Client
from django.urls import include, path
from pytest_django import Settings

from gcp_side.labseg.host.addresses import api_address, page_address
from gcp_side.labseg.host.project_checks import (
    check_addresses,
    check_authentication,
    check_cookies,
    check_middleware,
    check_templates,
    check_users,
)
from tests.support.paths import ROOT
from tests.unit.gcp_side.fakes import radiologist

API = "gcp_side.labseg.urls"
PAGES = "gcp_side.labseg.page_urls"
SESSION = "rest_framework.authentication.SessionAuthentication"
ROWS = "rest_framework.authentication.TokenAuthentication"
TOKEN = "tests.support.site.host_pieces.EnvelopedToken"

Urls = Callable[..., None]


@pytest.fixture
def urls(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Urls:
    """Gives the project other addresses."""

    def change(*patterns: Any) -> None:
        name = f"host_urls_{len(sys.modules)}"
        module = ModuleType(name)
        module.urlpatterns = list(patterns)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
        settings.ROOT_URLCONF = name

    return change


def ids(found: list[CheckMessage]) -> list[str]:
    return [str(item.id) for item in found]


def below(namespace: str, *patterns: Any) -> Any:
    return path(f"{namespace}/", include((list(patterns), namespace), namespace=namespace))


class TestAddresses:
    """Pages and endpoints need each other, wherever they are."""

    @pytest.mark.parametrize(
        ("patterns", "complaints"),
        [
            ([path("a/", include(API)), path("b/", include(PAGES))], []),
            ([path("", include(API)), path("", include(PAGES))], []),
            ([], []),
            ([path("b/", include(PAGES))], ["labseg.E002"]),
            ([path("b/", include(PAGES)), path("c/", include(PAGES))], ["labseg.E002"]),
            ([below("host", path("b/", include(PAGES)))], ["labseg.E002"]),
            ([path("a/", include(API))], ["labseg.I001"]),
            ([below("host", path("a/", include(API, namespace="mri")))], ["labseg.I001"]),
            ([below("x", path("a/", include(API))), below("y", path("b/", include(PAGES)))], []),
            (
                [path("<slug:site>/a/", include(API)), path("<slug:site>/b/", include(PAGES))],
                ["labseg.E002", "labseg.E002"],
            ),
            (
                [
                    path("<slug:site>/a/", include(API, namespace="many")),
                    path("a/", include(API, namespace="one")),
                    path("b/", include(PAGES)),
                ],
                [],
            ),
        ],
    )
    def test_what_is_included(self, urls: Urls, patterns: list[Any], complaints: list[str]) -> None:
        urls(*patterns)
        assert ids(check_addresses()) == complaints

    def test_a_project_without_addresses(self, settings: Settings) -> None:
        del settings.ROOT_URLCONF
        for check in (check_addresses, check_cookies, check_templates, check_authentication):
            assert check() == []

    def test_the_complaint_says_what_to_add(self, urls: Urls) -> None:
        urls(path("b/", include(PAGES)))
        (complaint,) = [item for item in run_checks() if item.id == "labseg.E002"]
        assert f'include("{API}")' in str(complaint.hint)

    @pytest.mark.django_db
    def test_a_page_in_a_namespace_finds_the_endpoints_in_another(self, urls: Urls) -> None:
        urls(
            below("x", path("a/", include(API, namespace="mri"))),
            below("y", path("b/", include(PAGES, namespace="one")), path("c/", include(PAGES))),
        )
        assert api_address("studies") == "/x/a/segmentation/studies/"
        assert page_address("studies") == "/y/b/"
        client = Client()
        client.force_login(radiologist())
        for address in ("/y/b/", "/y/c/"):
            page = client.get(address).content.decode()
            assert '"api": "/x/a/segmentation/"' in page


class TestCookies:
    """Browsers send a cookie to what is below its path."""

    @pytest.mark.parametrize(
        ("changes", "complaints"),
        [
            ({}, []),
            ({"CSRF_COOKIE_PATH": "/segmentation"}, ["labseg.W006"]),
            ({"SESSION_COOKIE_PATH": "/seg"}, ["labseg.W006"]),
            ({"SESSION_COOKIE_PATH": "/api/", "CSRF_COOKIE_PATH": "/api/"}, ["labseg.W006"] * 2),
            ({"CSRF_COOKIE_PATH": "/elsewhere/", "CSRF_USE_SESSIONS": True}, []),
        ],
    )
    def test_a_path_that_leaves_addresses_out(
        self, settings: Settings, changes: dict[str, Any], complaints: list[str]
    ) -> None:
        for name, value in changes.items():
            setattr(settings, name, value)
        assert ids(check_cookies()) == complaints

    def test_a_path_above_both(self, settings: Settings, urls: Urls) -> None:
        urls(path("pacs/", include([path("a/", include(API)), path("b/", include(PAGES))])))
        settings.CSRF_COOKIE_PATH = "/pacs"
        assert check_cookies() == []


class TestAuthentication:
    """The pages' way in, and its protection."""

    @pytest.mark.parametrize(
        ("classes", "complaints"),
        [
            ([SESSION], []),
            ([TOKEN, SESSION], []),
            ([TOKEN], ["labseg.W007"]),
            (["tests.support.site.host_pieces.UncheckedSession"], ["labseg.W008"]),
        ],
    )
    def test_classes(self, settings: Settings, classes: list[str], complaints: list[str]) -> None:
        settings.SEGRELAY = settings.SEGRELAY | {
            "BUCKET": "file:///srv/q",
            "AUTHENTICATION_CLASSES": classes,
        }
        assert ids(check_authentication()) == complaints

    @pytest.mark.parametrize(("is_there", "complaints"), [(False, ["labseg.E005"]), (True, [])])
    def test_tokens_need_their_table(
        self,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
        is_there: bool,
        complaints: list[str],
    ) -> None:
        settings.SEGRELAY = settings.SEGRELAY | {
            "BUCKET": "file:///srv/q",
            "AUTHENTICATION_CLASSES": [ROWS, SESSION],
        }
        monkeypatch.setattr(apps, "is_installed", lambda name: is_there and "authtoken" in name)
        assert ids(check_authentication()) == complaints

    def test_no_session_is_needed_without_pages(self, settings: Settings, urls: Urls) -> None:
        urls(path("a/", include(API)))
        settings.SEGRELAY = settings.SEGRELAY | {
            "BUCKET": "file:///srv/q",
            "AUTHENTICATION_CLASSES": [TOKEN],
        }
        assert check_authentication() == []


@pytest.mark.parametrize(
    ("engine", "complaints"),
    [
        ({"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}, []),
        ({"BACKEND": "django.template.backends.django.DjangoTemplates"}, ["labseg.E003"]),
        ({"BACKEND": "django.template.backends.jinja2.Jinja2", "APP_DIRS": True}, ["labseg.E003"]),
    ],
)
def test_an_engine_for_the_pages(
    settings: Settings, engine: dict[str, Any], complaints: list[str]
) -> None:
    settings.TEMPLATES = [engine]
    assert ids(check_templates()) == complaints


def test_users_without_permissions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_users() == []
    monkeypatch.setattr("gcp_side.labseg.host.project_checks.get_user_model", lambda: object)
    assert ids(check_users()) == ["labseg.E004"]


@pytest.mark.parametrize(
    ("left_out", "complaints"),
    [
        ((), []),
        (("SessionMiddleware",), ["labseg.W010"]),
        (("SessionMiddleware", "AuthenticationMiddleware"), ["labseg.W010"] * 2),
    ],
)
def test_the_pages_need_to_know_who_asks(
    settings: Settings, left_out: tuple[str, ...], complaints: list[str]
) -> None:
    kept = [name for name in settings.MIDDLEWARE if name.rpartition(".")[2] not in left_out]
    settings.MIDDLEWARE = kept
    assert ids(check_middleware()) == complaints


def test_a_middleware_that_a_project_derives_is_enough(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("host_middleware")
    module.Own = type("Own", (SessionMiddleware,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "host_middleware", module)
    kept = [name for name in settings.MIDDLEWARE if not name.endswith(".SessionMiddleware")]
    settings.MIDDLEWARE = ["host_middleware.Own", *kept]
    assert check_middleware() == []


def test_each_identifier_is_of_one_check_which_documents_it() -> None:
    checks = registry.get_checks(include_deployment_checks=True)
    own = [check for check in checks if check.__module__.startswith("gcp_side.labseg.")]
    documented = Counter(
        found
        for check in own
        for found in set(re.findall(r"labseg\.[EWI]\d{3}", check.__doc__ or ""))
    )
    assert {name: count for name, count in documented.items() if count > 1} == {}
    sources = (ROOT / "gcp_side" / "labseg").rglob("*.py")
    used = {
        found
        for path in sources
        for found in re.findall(r'id="(labseg\.\w+)"', path.read_text(encoding="utf-8"))
    }
    assert used == set(documented)
