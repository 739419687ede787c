"""Jobs in Django's admin, to look at: state changes belong to ``services``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from gcp_side.labseg.models import Job, JobEvent

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
    fields = ("at", "kind", "attempt", "agent", "text")
    extra = 0


@admin.register(Job)
class JobAdmin(_ReadOnly, ModelAdmin):
    """Jobs, newest first."""

    list_display = (
        "job_id",
        "profile",
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
