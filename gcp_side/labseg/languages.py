"""The language of a page: one that all of its texts have, whatever the project speaks otherwise."""

from __future__ import annotations

from collections.abc import Callable
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


def page_language() -> str:
    """The active language without its country, e.g. ``ko`` for ``ko-kr``; English for any other.

    English too where the project translates nothing (``USE_I18N = False``).
    """
    language = (get_language() or "").partition("-")[0].lower()
    return language if settings.USE_I18N and language in TRANSLATED else TRANSLATED[0]


def in_page_language(
    view: Callable[..., HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """A view whose page is in one language: Django's own texts have more than the pages have."""

    @wraps(view)
    def translated(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        language = page_language()
        with override(language):
            answer = view(request, *args, **kwargs)
            if isinstance(answer, SimpleTemplateResponse):
                answer.render()
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
        return answer
