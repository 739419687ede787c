"""The pages: the list of studies and the viewer. What they show comes from the REST interface."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views import View

from common.manifest import is_orthanc_id
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.views.base import NO_STORE

TRANSLATED = ("en", "ko")
"""Languages of the pages."""


class _Page(LoginRequiredMixin, PermissionRequiredMixin, View):
    """Whoever may see requests may see the pages; a stranger is led to the login."""

    permission_required = "labseg.view_job"
    http_method_names = ("get", "head")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """No copy of a page is kept: another user may sit at this computer next."""
        answer = super().dispatch(request, *args, **kwargs)
        answer["Cache-Control"] = NO_STORE
        return answer

    def has_permission(self) -> bool:
        # A stranger is asked to log in; who is logged in and may not see this is refused.
        self.raise_exception = self.request.user.is_authenticated
        return super().has_permission()


class StudyList(_Page):
    """``GET /segmentation/``."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The list of studies."""
        return render(
            request,
            "labseg/studies.html",
            {
                "script": "labseg/studies.js",
                "languages": _languages(),
                "config": {"api": _api_root()},
            },
        )


class StudyViewer(_Page):
    """``GET /segmentation/studies/<study_id>/``."""

    def get(self, request: HttpRequest, study_id: str) -> HttpResponse:
        """The viewer of one study."""
        if not is_orthanc_id(study_id):
            raise Http404
        return render(
            request,
            "labseg/study.html",
            {
                "script": "labseg/study.js",
                "languages": _languages(),
                "config": {
                    "api": _api_root(),
                    "study": study_id,
                    "ohif": get_conf().ohif_url,
                    # What the buttons need; the endpoints check it again.
                    "may": {
                        "add": request.user.has_perm("labseg.add_job"),
                        "change": request.user.has_perm("labseg.change_job"),
                    },
                },
            },
        )


def _languages() -> list[str]:
    """What a user can choose from: the languages of these pages that the project has."""
    chosen = [code for code, _name in settings.LANGUAGES if code in TRANSLATED]
    can_be_chosen = "django.middleware.locale.LocaleMiddleware" in settings.MIDDLEWARE
    return chosen if can_be_chosen and len(chosen) > 1 else []


def _api_root() -> str:
    return reverse("labseg:studies").removesuffix("studies/")
