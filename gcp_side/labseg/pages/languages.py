"""The language of a page: one that all of its texts have, whatever the project speaks otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.utils.translation import get_language, override
from django.utils.translation.trans_real import DjangoTranslation
from django.views.i18n import JavaScriptCatalog

TRANSLATED = ("en", "ko")
"""Languages of the pages; the first is that of the source."""

_project_language: ContextVar[str | None] = ContextVar("labseg_project_language", default=None)
"""What the project had chosen before a page was made in its own language."""


def page_language() -> str:
    """The active language without its country, e.g. ``ko`` for ``ko-kr``; English for any other.

    English too where the project translates nothing (``USE_I18N = False``).
    """
    language = translation_of(get_language() or "") if settings.USE_I18N else None
    return language or TRANSLATED[0]


def translation_of(code: str) -> str | None:
    """The language of the pages that a project's code names, e.g. ``ko`` for ``ko-kr``."""
    language = code.partition("-")[0].lower()
    return language if language in TRANSLATED else None


@contextmanager
def in_project_language() -> Iterator[None]:
    """The language that the project has chosen, also while a page is made in another one.

    Addresses below ``i18n_patterns`` begin with it, and exist in no language but the project's.
    """
    with override(_project_language.get() or get_language()):
        yield


def in_page_language(
    view: Callable[..., HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """A view whose page is in one language: Django's own texts have more than the pages have."""

    @wraps(view)
    def translated(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        language = page_language()
        token = _project_language.set(get_language())
        try:
            with override(language):
                answer = view(request, *args, **kwargs)
                if isinstance(answer, SimpleTemplateResponse):
                    answer.render()
        finally:
            _project_language.reset(token)
        answer.headers.setdefault("Content-Language", language)
        return answer

    return translated


class PageTexts(JavaScriptCatalog):
    """``GET …/texts.js``: the texts of the scripts, in the language of the page."""

    packages = ["gcp_side.labseg"]  # noqa: RUF012  (as Django declares it)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ARG002
        """As Django's, which takes ``LANGUAGE_CODE`` where nothing is translated."""
        folders = self.get_paths(self.packages)
        self.translation = DjangoTranslation(
            page_language(), domain=self.domain, localedirs=folders
        )
        answer: HttpResponse = self.render_to_response(self.get_context_data(**kwargs))
        # A server that keeps scripts by their address would mix the languages of its visitors.
        answer["Cache-Control"] = "private, no-cache"
        return answer
