"""Where a project has put the addresses of this app: below any prefix, in any namespace.

Django's own ``reverse("labseg:…")`` finds an app only where no other namespace is around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.urls import NoReverseMatch, URLResolver, get_resolver, get_urlconf, reverse

from gcp_side.labseg.pages.languages import in_project_language

API = "labseg"
"""``app_name`` of :mod:`gcp_side.labseg.urls`."""

PAGES = "labseg-pages"
"""``app_name`` of :mod:`gcp_side.labseg.page_urls`."""


def places_of(app_name: str) -> tuple[str, ...]:
    """Every place where an app is included: its full namespace, e.g. ``("hospital:labseg",)``."""
    # A middleware may have chosen other addresses for this request.
    return _places_in(get_urlconf() or settings.ROOT_URLCONF, app_name)


def address(app_name: str, name: str, *arguments: object) -> str:
    """The path of an endpoint or a page, by its name in the app's module of addresses.

    Raises
    ------
    NoReverseMatch
        The project does not include them, or only below a prefix with a variable part.
    """
    for place in places_of(app_name):
        try:
            with in_project_language():
                return reverse(f"{place}:{name}", args=arguments)
        except NoReverseMatch:
            # Below a prefix with a variable part; another place may have none.
            continue
    raise NoReverseMatch(f"No address of {app_name} is called {name!r} in this project.")


api_address = partial(address, API)
page_address = partial(address, PAGES)


def queue_path() -> str:
    """The path below which agents reach the queue that the site keeps.

    Raises
    ------
    NoReverseMatch
        As :func:`address`.
    """
    return api_address("queue", "list").removesuffix("/list/")


@lru_cache
def _places_in(urlconf: Any, app_name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_search(get_resolver(urlconf), app_name, ())))


def _search(resolver: URLResolver, app_name: str, above: tuple[str, ...]) -> Iterator[str]:
    for item in resolver.url_patterns:
        if not isinstance(item, URLResolver):
            continue
        here = (*above, item.namespace) if item.namespace else above
        if item.app_name == app_name:
            yield ":".join(here)
        else:
            yield from _search(item, app_name, here)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "ROOT_URLCONF":
        _places_in.cache_clear()


setting_changed.connect(_forget)
