"""The pages: the list of studies and the viewer. What they show comes from the REST interface."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View

from common.manifest import is_orthanc_id
from gcp_side.labseg.accounts import LedToLogin, frame, login_again_address
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.views.base import NO_STORE


# A project's LoginRequiredMiddleware would lead to LOGIN_URL, whether or not anything is there.
@method_decorator(login_not_required, name="dispatch")
class _Page(LedToLogin, LoginRequiredMixin, PermissionRequiredMixin, View):
    """Who may see requests may see the pages; others learn who can give them the permission."""

    permission_required = "labseg.view_job"
    http_method_names = ("get", "head")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """No copy of a page is kept: another user may sit at this computer next."""
        answer = super().dispatch(request, *args, **kwargs)
        answer["Cache-Control"] = NO_STORE
        return answer

    def handle_no_permission(self) -> Any:
        """Who is logged in and may not see this is refused; a stranger is asked to log in."""
        if not self.request.user.is_authenticated:
            return super().handle_no_permission()
        return render(self.request, "labseg/no_permission.html", frame(self.request), status=403)


class StudyList(_Page):
    """``GET /segmentation/``."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The list of studies."""
        return render(
            request,
            "labseg/studies.html",
            frame(request)
            | {
                "script": "labseg/studies.js",
                "login": login_again_address(request),
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
            frame(request)
            | {
                "script": "labseg/study.js",
                "login": login_again_address(request),
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


def _api_root() -> str:
    return reverse("labseg:studies").removesuffix("studies/")
