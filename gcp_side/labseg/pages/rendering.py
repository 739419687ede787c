"""Rendering the pages' templates by an engine that can, whichever engines a project has."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import TemplateDoesNotExist, engines
from django.template.backends.django import DjangoTemplates
from django.views.generic.base import TemplateResponseMixin

BASE = "labseg/base.html"

HTML = "text/html; charset=utf-8"
"""A project may have another ``DEFAULT_CHARSET``, which has not all letters of the pages."""


def page_engine() -> str:
    """The name of the engine that reads this app's templates.

    Another engine may take every template for its own, in another language than Django's.

    Raises
    ------
    TemplateDoesNotExist
        None does: ``APP_DIRS`` or its loaders leave apps out.
    """
    for engine in engines.all():
        if isinstance(engine, DjangoTemplates):
            try:
                engine.get_template(BASE)
            except TemplateDoesNotExist:
                continue
            return engine.name
    raise TemplateDoesNotExist(BASE)


def render_page(
    request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """As :func:`django.shortcuts.render`, by :func:`page_engine`."""
    page = engines[page_engine()].get_template(template).render(context, request)
    return HttpResponse(page, status=status, content_type=HTML)


class PageTemplate(TemplateResponseMixin):
    """For views with a ``template_name``: by :func:`page_engine`."""

    content_type = HTML

    def render_to_response(self, context: dict[str, Any], **options: Any) -> HttpResponse:
        """The page, rendered later."""
        self.template_engine = page_engine()
        return super().render_to_response(context, **options)
