"""Jobs in Django's admin: to look at, to retry and to cancel through ``services``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from common.errors import SegRelayError
from gcp_side.labseg import orthanc, services
from gcp_side.labseg.meanings import tell
from gcp_side.labseg.models import Job, JobEvent, State

if TYPE_CHECKING:
    # Only the type stubs know these classes as generic.
    TabularInline = admin.TabularInline[JobEvent, Job]
    ModelAdmin = admin.ModelAdmin[Job]
else:
    from django.contrib.admin import ModelAdmin, TabularInline


class _ReadOnly:
    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False


class JobEventInline(_ReadOnly, TabularInline):
    """A job's history."""

    model = JobEvent
    fields = ("at", "kind", "attempt", "agent", "outcome", "text")
    extra = 0


@admin.register(Job)
class JobAdmin(_ReadOnly, ModelAdmin):
    """Jobs, newest first."""

    list_display = (
        "job_id",
        "profile",
        "labels",
        "state",
        "stage",
        "percent",
        "agent",
        "tumour_found",
        "retry_of",
        "submitted_at",
    )
    list_filter = ("state", "profile", "agent")
    search_fields = ("job_id", "orthanc_study_id", "seg_orthanc_id")
    list_select_related = ("retry_of",)
    date_hierarchy = "submitted_at"
    inlines = (JobEventInline,)
    actions = ("retry_jobs", "cancel_jobs")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Whether the user may retry and cancel; nobody edits a row."""
        return request.user.has_perm("labseg.change_job")

    @admin.action(description=_("Run the selected jobs again, as new ones"), permissions=["steer"])
    def retry_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        """As ``labseg retry``, without ``--force``."""
        user = request.user if request.user.is_authenticated else None

        def retry(job: Job) -> tuple[int, str]:
            again = services.retry(job.pk, orthanc=orthanc.connect(), requested_by=user)
            said = (
                gettext("Job %(job)s is tried again as %(again)s.")
                if again.is_new
                else gettext("Job %(job)s is being tried again already as %(again)s.")
            )
            return messages.SUCCESS, said % {"job": job.pk, "again": again.job.pk}

        self._for_each(request, jobs, retry)

    @admin.action(description=_("Cancel the selected jobs"), permissions=["steer"])
    def cancel_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        """As ``labseg cancel``."""

        def cancel(job: Job) -> tuple[int, str]:
            stands = services.cancel(job.pk)
            if stands.state == State.CANCELLED:
                return messages.SUCCESS, gettext("Job %(job)s is cancelled.") % {"job": job.pk}
            if stands.is_open:
                return messages.INFO, gettext("Job %(job)s will be cancelled.") % {"job": job.pk}
            ended = gettext("Job %(job)s had ended before: %(state)s.")
            state = State(stands.state).label
            return messages.WARNING, ended % {"job": job.pk, "state": state}

        self._for_each(request, jobs, cancel)

    def _for_each(
        self,
        request: HttpRequest,
        jobs: QuerySet[Job],
        act: Callable[[Job], tuple[int, str]],
    ) -> None:
        """Act on one job after another; what refuses one is told and stops no other."""
        for job in jobs.order_by("pk"):
            try:
                level, text = act(job)
            except SegRelayError as error:
                told = tell(error.code, error.message, error.remedy)
                level = messages.ERROR
                text = f"{job.pk}: {told.message} {told.remedy} {told.detail}".rstrip()
            self.message_user(request, text, level)
