"""The pages: the list of studies and the viewer. What they show comes from the REST interface."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.generic import TemplateView

from gcp_side.labseg.access.accounts import UserPage, frame, login_again_address
from gcp_side.labseg.api.base import NO_STORE
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.host.addresses import api_address
from gcp_side.labseg.messages import explain_stage
from gcp_side.labseg.orthanc import client as orthanc
from gcp_side.labseg.pages.rendering import render_page
from gcp_side.labseg.pages.scripts import script_address
from segrelay.dicom.values import is_uid
from segrelay.manifest import URGENT, is_orthanc_id
from segrelay.stages import Stage


# A project's LoginRequiredMiddleware would lead to LOGIN_URL, whether or not anything is there.
@method_decorator(login_not_required, name="dispatch")
@method_decorator(ensure_csrf_cookie, name="dispatch")
class _Page(UserPage, PermissionRequiredMixin, TemplateView):
    """Who may see requests may see the pages; others learn who can give them the permission."""

    permission_required = "labseg.view_job"
    http_method_names = ("get", "head")
    script: ClassVar[str]
    """Name of the page's module."""

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

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With the page's script and what that must know."""
        return super().get_context_data(**kwargs) | {
            "script": script_address(self.script),
            "login": login_again_address(self.request),
            "config": self.config(),
        }

    def config(self) -> dict[str, Any]:
        """Where the endpoints are, and how they check for CSRF."""
        is_readable = not (settings.CSRF_USE_SESSIONS or settings.CSRF_COOKIE_HTTPONLY)
        return {
            "api": api_address("studies").removesuffix("studies/"),
            "csrf": {
                "header": settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-"),
                # After a login in another tab the cookie is newer than the page.
                "cookie": settings.CSRF_COOKIE_NAME if is_readable else "",
                "token": get_token(self.request),
            },
        }


class StudyList(_Page):
    """``GET /segmentation/``: the list of studies."""

    template_name = "labseg/studies.html"
    script = "studies.js"


class StudyViewer(_Page):
    """``GET /segmentation/studies/<study_id>/``: the viewer of one study."""

    template_name = "labseg/study.html"
    script = "study.js"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The page; for a Study Instance UID, by which other viewers link, where the page is."""
        study_id = self.kwargs["study_id"]
        if is_orthanc_id(study_id):
            return super().get(request, *args, **kwargs)
        found = orthanc.connect().studies_of_uid(study_id) if is_uid(study_id) else []
        if len(found) != 1:
            # The same UID under two Patient IDs is two studies of Orthanc.
            raise Http404
        return redirect("labseg-pages:study", study_id=found[0])

    def config(self) -> dict[str, Any]:
        """With the study, what the stages are called, and what the buttons need."""
        study_id = self.kwargs["study_id"]
        has_perm = self.request.user.has_perm
        return super().config() | {
            "study": study_id,
            "ohif": get_conf().ohif_url,
            "stages": {
                stage: {"step": stage.step, "text": explain_stage(stage)} for stage in Stage
            },
            "urgent": URGENT,
            # The endpoints check it again.
            "may": {"add": has_perm("labseg.add_job"), "change": has_perm("labseg.change_job")},
        }
