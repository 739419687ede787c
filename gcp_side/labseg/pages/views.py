"""The pages: the list of studies and the viewer. What they show comes from the REST interface."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import ensure_csrf_cookie

from gcp_side.labseg.access.accounts import LedToLogin, frame, login_again_address
from gcp_side.labseg.api.base import NO_STORE
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.host.addresses import api_address
from gcp_side.labseg.messages import explain_stage
from gcp_side.labseg.pages.rendering import render_page
from gcp_side.labseg.pages.scripts import script_address
from segrelay.manifest import is_orthanc_id
from segrelay.stages import Stage


# A project's LoginRequiredMiddleware would lead to LOGIN_URL, whether or not anything is there.
@method_decorator(login_not_required, name="dispatch")
@method_decorator(ensure_csrf_cookie, name="dispatch")
class _Page(LedToLogin, LoginRequiredMixin, PermissionRequiredMixin, View):
    """Who may see requests may see the pages; others learn who can give them the permission."""

    permission_required = "labseg.view_job"
    http_method_names = ("get", "head")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """No copy of a page is kept: another user may sit at this computer next."""
        answer = super().dispatch(request, *args, **kwargs)
        answer["Cache-Control"] = NO_STORE
        return answer

    def has_permission(self) -> bool:
        """A project's users may be of a model without permissions."""
        return hasattr(self.request.user, "has_perms") and super().has_permission()

    def handle_no_permission(self) -> Any:
        """Who is logged in and may not see this is refused; a stranger is asked to log in."""
        if not self.request.user.is_authenticated:
            return super().handle_no_permission()
        context = frame(self.request)
        return render_page(self.request, "labseg/no_permission.html", context, status=403)


class StudyList(_Page):
    """``GET /segmentation/``."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The list of studies."""
        return render_page(
            request,
            "labseg/studies.html",
            frame(request)
            | {
                "script": script_address("studies.js"),
                "login": login_again_address(request),
                "config": _config(request),
            },
        )


class StudyViewer(_Page):
    """``GET /segmentation/studies/<study_id>/``."""

    def get(self, request: HttpRequest, study_id: str) -> HttpResponse:
        """The viewer of one study."""
        if not is_orthanc_id(study_id):
            raise Http404
        return render_page(
            request,
            "labseg/study.html",
            frame(request)
            | {
                "script": script_address("study.js"),
                "login": login_again_address(request),
                "config": _config(request)
                | {
                    "study": study_id,
                    "ohif": get_conf().ohif_url,
                    "stages": {
                        stage: {"step": stage.step, "text": explain_stage(stage)} for stage in Stage
                    },
                    # What the buttons need; the endpoints check it again.
                    "may": {
                        "add": request.user.has_perm("labseg.add_job"),
                        "change": request.user.has_perm("labseg.change_job"),
                    },
                },
            },
        )


def _config(request: HttpRequest) -> dict[str, Any]:
    """What every page's scripts must know: where the endpoints are, how they check for CSRF."""
    is_readable = not (settings.CSRF_USE_SESSIONS or settings.CSRF_COOKIE_HTTPONLY)
    return {
        "api": api_address("studies").removesuffix("studies/"),
        "csrf": {
            "header": settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-"),
            # After a login in another tab the cookie is newer than the page.
            "cookie": settings.CSRF_COOKIE_NAME if is_readable else "",
            "token": get_token(request),
        },
    }
